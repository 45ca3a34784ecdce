"""Standard streams that are full or closed."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.command import run_by


def through(shell: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run the command through a shell that redirects its streams."""
    return run_by(["bash", "-c", f'"$0" "$@" {shell}'], *arguments)


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=str)
def test_full_stdout(place, flags):
    """A report that cannot be written is exit 4: a pipeline must not take it for done."""
    finished = through(">/dev/full", "inspect", place.model, *flags)
    assert finished.returncode == 4
    assert "error FBN048: cannot write to standard output: No space left" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("convert", "--help")], ids=str)
def test_full_stdout_for_help(arguments):
    """Help that cannot be written is exit 4, without a traceback."""
    finished = through(">/dev/full", *arguments)
    assert finished.returncode == 4
    assert finished.stderr.startswith("error FBN048")
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=str)
def test_full_stdout_for_an_error(tmp_path, flags):
    """An error that cannot be told keeps its exit code."""
    finished = through(">/dev/full 2>/dev/full", "inspect", tmp_path / "missing.h5", *flags)
    assert finished.returncode == 3


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams(place, shell):
    """With streams closed the worker still answers over a pipe of its own."""
    finished = through(shell, "inspect", place.model)
    assert finished.returncode == 0, finished.stderr
    assert ("1 folded" in finished.stdout) == (">&-" not in shell or shell == "2>&-")
    assert "Traceback" not in finished.stderr

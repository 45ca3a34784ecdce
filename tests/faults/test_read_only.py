"""Folders that nobody may write to: the artefacts', the home, the temporary one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command import run, run_by

# Root may write anywhere; a process of root that has lost this right may not.
POWERLESS = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""


def powerless(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as one who may write only where the file system lets them."""
    return run_by([sys.executable, "-c", POWERLESS], *arguments, **environment)


@contextmanager
def read_only(folder: Path, mode: int = 0o555) -> Iterator[None]:
    """Let nobody write into a folder."""
    folder.chmod(mode)
    try:
        yield
    finally:
        folder.chmod(0o755)


def test_read_only_folder(place):
    """A folder that cannot be written to is exit 4, and named."""
    with read_only(place.out):
        finished = powerless("convert", place.model, "--overwrite", "--no-bench")
    assert finished.returncode == 4
    assert f"error FBN044: cannot write to '{place.out}': Permission denied" in finished.stderr
    place.assert_untouched()


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_output_folder_inside_a_closed_one(place, mode):
    """A folder that cannot be made, or cannot even be looked for, is exit 4."""
    closed = place.folder / "closed"
    closed.mkdir()
    with read_only(closed, mode):
        finished = powerless("convert", place.model, "--no-bench", "-o", closed / "a" / "b")
    closed.rmdir()
    assert finished.returncode == 4
    assert "error FBN044: cannot write to" in finished.stderr
    place.assert_untouched()


def test_read_only_home(place):
    """A home that cannot be written to does not matter, and no other place is taken for it."""
    home = place.folder / "out"
    with read_only(home):
        finished = powerless("inspect", place.model, HOME=str(home), TMPDIR=str(place.temporary))
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    place.assert_untouched()


def test_home_stays_clean(place):
    """Keras writes its settings into any home that it finds; not here."""
    finished = run("inspect", place.model, HOME=str(place.out), TMPDIR=str(place.temporary))
    assert finished.returncode == 0, finished.stderr
    place.assert_untouched()


def test_no_temporary_folder(place):
    """Where no temporary file can be made the error says what to set."""
    with read_only(place.temporary):
        finished = powerless("inspect", place.model, TMPDIR=str(place.temporary / "missing"))
    # Python falls back on the system's own folders where it can.
    assert finished.returncode in (0, 4)
    assert "Traceback" not in finished.stderr
    place.assert_untouched()

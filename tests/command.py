"""The real command in a process of its own, for tests that need one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "foldbn")
PATIENCE = 240


def run(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return run_by((), *arguments, **environment)


def run_by(
    starter: Sequence[str], *arguments: Any, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, started by a program that changes what it may do."""
    return subprocess.run(
        [*starter, *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )


def parsed(text: str) -> dict[str, Any]:
    """Return a strict JSON document; NaN and infinity are errors."""

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@contextmanager
def started(*arguments: Any, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and end it whatever happens."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        # Where these tests run in the background, Ctrl-C is ignored by all their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], phase: str) -> None:
    """Read stderr up to the line that tells `phase`."""
    for line in process.stderr:
        if line.strip() == f"foldbn: {phase}":
            return
    pytest.fail(f"the phase {phase!r} was never told")


def worker_of(process: subprocess.Popen[str]) -> int:
    """Return the process id of the command's only child."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def assert_gone(worker: int) -> None:
    """Assert that a process ends within a few seconds."""
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "the worker still runs"
        time.sleep(0.05)

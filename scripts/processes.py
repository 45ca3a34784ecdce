"""Run a command as a process of its own, and tell its wall time and its peak of memory.

The peak is that of the whole process tree: every 50 ms the resident set sizes (RSS) of the
process and all its descendants are summed, and the greatest sum counts, or the greatest high
water mark (VmHWM) of any one of them where that is more, which a spike between two samples
cannot escape. A page that two of them share counts twice. ``ru_maxrss`` would not do: a child
inherits it from whoever started it.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.05
_MEMORY = re.compile(r"^(VmHWM|VmRSS):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """How a command ran to its end.

    Attributes:
        seconds: of wall time.
        peak_gb: greatest memory of its process tree, in units of 1e9 bytes.
        code: its exit code.
        output: what it wrote to stdout.
        errors: what it wrote to stderr.
    """

    seconds: float
    peak_gb: float
    code: int
    output: str
    errors: str


def run(command: Sequence[str | Path], *, check: bool = True) -> Run:
    """Run a command to its end, its memory watched.

    Args:
        command: the program and its arguments.
        check: whether a failure is an error.

    Raises:
        RuntimeError: it failed; the message ends as its stderr does.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    # Files, since a pipe that nobody reads while the memory is watched could fill up.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=errors, env=environment
        )
        peak = 0
        while True:
            try:
                code = process.wait(SAMPLE_S)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, memory_of(process.pid))
        seconds = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        done = Run(seconds, peak / 1e9, code, output.read(), errors.read())
    if check and code:
        raise RuntimeError(
            f"exit code {code} of {' '.join(map(str, command))}\n{done.errors[-2000:]}"
        )
    return done


def memory_of(root: int) -> int:
    """Return the bytes in use by a process tree, or once by one of its processes if more."""
    resident, marks = 0, [0]
    for pid in tree(root):
        try:
            told = dict(_MEMORY.findall(Path(f"/proc/{pid}/status").read_text()))
        except OSError:  # it ended meanwhile
            continue
        # A process that has ended and was not waited for yet has no memory to tell.
        resident += int(told.get("VmRSS", 0))
        marks.append(int(told.get("VmHWM", 0)))
    return 1024 * max(resident, *marks)


def tree(root: int) -> list[int]:
    """Return a process and all its descendants, as far as they live."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found

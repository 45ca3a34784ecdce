"""The memory of real processes is seen, that of their children too; failures are told."""

import sys

import pytest
from processes import run

HOLD = "import time; block = bytearray(b'x') * 150_000_000; time.sleep(0.4)"
WITH_CHILD = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {HOLD!r}])
{HOLD}
child.wait()
"""


def test_peak_is_that_of_the_whole_tree():
    """Two processes that hold 150 MB at once count for 300 MB, one of them for half."""
    assert 0.15 < run([sys.executable, "-c", HOLD]).peak_gb < 0.2
    assert 0.3 < run([sys.executable, "-c", WITH_CHILD]).peak_gb < 0.4


def test_what_the_starting_process_holds_does_not_count():
    """A process does not inherit the peak of the one that started it."""
    held = bytearray(b"x") * 300_000_000
    assert run([sys.executable, "-c", HOLD]).peak_gb < 0.2
    assert len(held) == 300_000_000


def test_output_and_failures_come_back():
    """Output of any length is read, and an exit code other than 0 is an error."""
    done = run([sys.executable, "-c", "print('y' * 200_000)"])
    assert (done.code, len(done.output)) == (0, 200_001)
    failing = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with pytest.raises(RuntimeError, match="no such thing"):
        run(failing)
    assert run(failing, check=False).code == 1

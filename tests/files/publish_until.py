"""Publish what lies staged in a folder, in a process that is killed at its n-th step.

    python -m tests.files.publish_until FOLDER STEP [NAME ...]

A step is whatever Python audits: each opening, renaming, linking, making and removing.
"""

import os
import signal
import sys
from pathlib import Path

from foldbn import files
from foldbn.files import publishing

STEPS = ("open", "os.", "ctypes.")


def main() -> None:
    """Stage new files for the names given, publish them, and remove the hidden folder."""
    folder, last, *names = sys.argv[1:]
    if "--without-exchange" in names:
        names.remove("--without-exchange")
        publishing._exchange = lambda _one, _other: False
    claimed = files.claim(Path(folder), files.HIDDEN)
    targets = {}
    for name in names:
        staged = claimed.folder / name
        if name.endswith(".savedmodel"):
            staged.mkdir()
            (staged / "saved_model.pb").write_bytes(b"new")
        else:
            staged.write_bytes(b"new")
        targets[staged] = Path(folder) / name
    seen = 0

    def hook(event: str, _arguments: tuple) -> None:
        nonlocal seen
        if event.startswith(STEPS):
            seen += 1
            if seen == int(last):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    files.publish(claimed.folder, targets)
    files.release(claimed)


main()

"""Do one job: read it from standard input, answer over the pipe named on the command line."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from typing import Any

import msgspec

from foldbn import pipeline
from foldbn.errors import FoldbnError
from foldbn.worker.protocol import COMMANDS, Failure, Job, Message

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer with progress messages, then with one result or failure."""
    _die_with_parent()
    # Ctrl-C is the parent's to handle: it ends this process and tidies up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)

    def send(**fields: Any) -> None:
        pipe.write(msgspec.json.encode(Message(**fields)) + b"\n")

    def notify(event: str, detail: str) -> None:
        send(event=event, detail=detail)

    function = getattr(pipeline, COMMANDS[job.command].function)
    try:
        result = msgspec.json.encode(function(**job.arguments, notify=notify))
    except FoldbnError as error:
        traceback.print_exc()
        send(failure=Failure(error.id, error.exit_code, error.message, error.hint, _trace()))
    except Exception as error:  # noqa: BLE001 - the last resort: it is told as a bug
        traceback.print_exc()
        fact = f"a bug in foldbn: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        send(
            failure=Failure(
                FoldbnError.id,
                FoldbnError.exit_code,
                fact,
                "please report it; --debug shows where",
                _trace(),
            )
        )
    else:
        send(result=msgspec.Raw(result))


def _trace() -> str:
    return traceback.format_exc()


def _die_with_parent() -> None:
    """Ask Linux for SIGKILL when the parent ends, even by SIGKILL itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
    # Tearing TensorFlow down takes a second and may print; there is nothing left to do.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

"""Do one job: read it from standard input, answer over the pipe named on the command line."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

import msgspec

from foldbn.errors import ConversionFailed, FoldbnError, RuntimeFailed, Unsupported, said
from foldbn.worker.limits import is_near, limit_memory, out_of_memory, ran_out_of_memory
from foldbn.worker.protocol import COMMANDS, Failure, Job, Message

_PR_SET_PDEATHSIG = 1
# What frameworks give as the reason for one of these may be a consequence of too little memory.
_PUZZLED = (ConversionFailed, RuntimeFailed, Unsupported)


def main() -> None:
    """Answer with progress messages, then with one result or failure."""
    _die_with(int(sys.argv[2]))
    # Ctrl-C is the parent's to handle: it ends this process and tidies up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    limit_memory(job.memory)

    def send(**fields: Any) -> None:
        pipe.write(msgspec.json.encode(Message(**fields)) + b"\n")

    try:
        result = msgspec.json.encode(_do(job, lambda event, text: send(event=event, detail=text)))
    except Exception as error:  # noqa: BLE001 - the last resort: it is told as a bug
        with suppress(OSError):
            traceback.print_exc()  # before the answer: whoever has that ends this process
        send(failure=_as_failure(error, job.memory))
    else:
        send(result=msgspec.Raw(result))


def _do(job: Job, notify: Any) -> Any:
    """Call the function that the job names; what it imports counts against the job's limits."""
    from foldbn import pipeline

    return getattr(pipeline, COMMANDS[job.command].function)(**job.arguments, notify=notify)


def _as_failure(error: Exception, memory: int) -> Failure:
    """Put an error into words that can be sent, whatever stands in them."""
    told = error if isinstance(error, FoldbnError) else _as_bug(error)
    # Without memory the interpreter itself may fail, or end a call without a reason.
    odd = told is not error or isinstance(error.__cause__, SystemError)
    if ran_out_of_memory(error) or ((odd or isinstance(told, _PUZZLED)) and is_near(memory)):
        told = out_of_memory(memory)
    trace = "".join(traceback.format_exception(error))
    texts = (_encodable(text) for text in (told.message, told.hint, trace))
    return Failure(told.id, told.exit_code, *texts)


def _as_bug(error: Exception) -> FoldbnError:
    fact = f"a bug in foldbn: {type(error).__name__}: {said(error)}"
    return FoldbnError(fact, "please report it; --debug shows where")


def _encodable(text: str) -> str:
    """Escape halves of UTF-16 pairs, which JSON may hold and UTF-8 may not."""
    return text.encode(errors="backslashreplace").decode()


def _die_with(parent: int) -> None:
    """Ask Linux for SIGKILL when the parent ends, even by SIGKILL itself; end if it has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
    # Tearing TensorFlow down takes a second and may print; there is nothing left to do.
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)

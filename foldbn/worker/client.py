"""Start a worker, hand it a job, and wait for its answer, whatever happens to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from foldbn.errors import FoldbnError, WorkerDied
from foldbn.worker.protocol import COMMANDS, Failure, Job, Message, Result

_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # the same bytes for the same input
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "1",
}


def run(
    command: str,
    arguments: dict[str, Any],
    *,
    on_phase: Callable[[str], None],
    log_file: Path | None = None,
) -> Result:
    """Run a command in a worker process and return its result.

    Args:
        command: ``convert``, ``inspect``, ``verify`` or ``bench``.
        arguments: keyword arguments of the public function of that name.
        on_phase: called with the name of each phase as it begins.
        log_file: everything the worker prints is added to it.

    Raises:
        FoldbnError: as the function raised it; its first note is the worker's traceback.
        WorkerDied: the worker ended without an answer.
    """
    made: list[Path] = []
    with (
        _temporary_folder() as folder,
        _log(log_file) as log,
        _process(command, arguments, log, folder) as (process, answers),
    ):
        try:
            for line in answers:
                message = msgspec.json.decode(line, type=Message)
                if message.event == "phase":
                    on_phase(message.detail)
                elif message.event == "made":
                    made.append(Path(message.detail))
                elif message.failure is not None:
                    raise _as_error(message.failure)
                elif message.result:
                    return msgspec.json.decode(message.result, type=COMMANDS[command].result)
            raise _died(process.wait(), log_file)
        finally:
            _end(process)
            _tidy(made)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of the worker's temporary files, which goes however the worker ends.

    A signal between its making and the note that it is to be removed would leave it behind.
    """
    waiting = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    try:
        return tempfile.TemporaryDirectory(prefix="foldbn-", ignore_cleanup_errors=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _log(log_file: Path | None) -> Iterator[IO[bytes]]:
    if log_file is None:
        with tempfile.TemporaryFile() as log:
            yield log
    else:
        with log_file.open("ab") as log:
            yield log


@contextmanager
def _process(
    command: str, arguments: dict[str, Any], log: IO[bytes], folder: str
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as answers:
        # -P: a module that lies beside the model is none of ours.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "foldbn.worker", str(theirs)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[theirs],
            start_new_session=True,
            env={**os.environ, **_ENVIRONMENT, "TMPDIR": folder},
        )
        os.close(theirs)
        with process:
            with suppress(BrokenPipeError):  # it died already, and the pipe will say so
                _hand_over(process, msgspec.json.encode(Job(command, arguments)))
            yield process, answers


def _hand_over(process: subprocess.Popen[bytes], job: bytes) -> None:
    if process.stdin is None:
        raise TypeError("the worker was started without a pipe to its standard input")
    with process.stdin as stdin:
        stdin.write(job)


def _tidy(made: list[Path]) -> None:
    """Remove the hidden folder that a worker left, and folders made for it if empty."""
    for folder in made[:1]:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in made[1:]:
        with suppress(OSError):
            folder.rmdir()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _as_error(failure: Failure) -> FoldbnError:
    error = FoldbnError.of(failure.id, failure.exit_code, failure.message, failure.hint)
    error.add_note(failure.trace)
    return error


def _died(code: int, log_file: Path | None) -> WorkerDied:
    how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
    kept = f"its log is in {str(log_file)!r}" if log_file else "--log-file FILE keeps its log"
    hint = f"{kept}; SIGKILL often means that memory ran out" if code == -9 else kept
    return WorkerDied(f"the worker process ended {how} before its answer", hint)

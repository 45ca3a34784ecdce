"""Start a worker, hand it a job, and wait for its answer, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from foldbn import files
from foldbn.errors import FoldbnError, Interrupted, TimedOut, WorkerDied, WriteFailed
from foldbn.worker.answers import Answers
from foldbn.worker.limits import Limits, default_memory, out_of_memory, peak_memory, tells_of_memory
from foldbn.worker.log import Log, read_log
from foldbn.worker.protocol import COMMANDS, Failure, Job, Message, Result

_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # the same bytes for the same input
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "1",
}
_FOLDER = "foldbn-worker-"
_READ = ("model", "original", "exported", "models", "samples")
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NEAR = 0.7  # of the limit: a crash with so much memory in use is put down to it


@dataclass
class _Traces:
    """What the worker said of files it makes, so that they can be removed for it.

    Attributes:
        hidden: folder in which it has a hidden one.
        made: folders that it made, the innermost first.
        published: the files have their names; all is done but the answer.
    """

    hidden: list[Path] = field(default_factory=list)
    made: list[Path] = field(default_factory=list)
    published: bool = False

    def note(self, message: Message) -> None:
        if message.event == "staging":
            self.hidden.append(Path(message.detail))
        elif message.event == "made":
            self.made.append(Path(message.detail))
        elif message.event == "published":
            self.published = True

    def remove(self) -> None:
        """Undo what a worker that is dead has not finished, and remove what it hid."""
        for folder in self.hidden:
            files.sweep(folder, files.HIDDEN, self._settle)
        for folder in self.made:
            with suppress(OSError):
                folder.rmdir()

    def _settle(self, folder: Path) -> bool:
        self.published = self.published or files.is_published(folder)
        return files.roll_back(folder)


def run(
    command: str,
    arguments: dict[str, Any],
    *,
    on_phase: Callable[[str], None],
    log_file: Path | None = None,
    limits: Limits | None = None,
) -> Result:
    """Run a command in a worker process and return its result.

    Args:
        command: ``convert``, ``inspect``, ``verify`` or ``bench``.
        arguments: keyword arguments of the public function of that name.
        on_phase: called with the name of each phase as it begins.
        log_file: everything the worker prints is added to it.
        limits: what the worker may take.

    Raises:
        FoldbnError: as the function raised it; its first note is the worker's traceback.
        WorkerDied: the worker ended without an answer, or had to be ended.
        Interrupted: the user pressed Ctrl-C.
    """
    limits = limits or Limits()
    memory = default_memory(_paths(arguments)) if limits.memory is None else limits.memory
    traces = _Traces()
    with (
        _temporary_folder() as folder,
        read_log(log_file) as log,
        _process(Job(command, arguments, memory), log, folder) as (process, answers),
        closing(answers.wait(limits.seconds)) as messages,
    ):
        try:
            for message in messages:
                traces.note(message)
                if message.event == "phase":
                    on_phase(message.detail)
                elif message.failure is not None:
                    raise _as_error(message.failure)
                elif message.result:
                    return msgspec.json.decode(message.result, type=COMMANDS[command].result)
            code = process.wait()
            log.finish()
            raise _died(code, log.end, log_file, memory)
        except TimeoutError:
            raise _late(limits.seconds) from None
        except KeyboardInterrupt:
            with _undisturbed():
                _settle(process, answers, traces)
            fact = "the files were written already" if traces.published else "nothing was written"
            raise Interrupted("interrupted", fact) from None
        finally:
            with _undisturbed():
                _settle(process, answers, traces)


def _settle(process: subprocess.Popen[bytes], answers: Answers, traces: _Traces) -> None:
    """End the worker, hear what it had still said, and remove what it left."""
    _end(process)
    for message in answers.rest():
        traces.note(message)
    traces.remove()


def _paths(arguments: dict[str, Any]) -> list[Path]:
    """Return the files and folders that a job reads."""
    values = [arguments[name] for name in _READ if arguments.get(name)]
    return [
        Path(word) for value in values for word in ([value] if isinstance(value, str) else value)
    ]


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Give a folder for the worker's temporary files, which goes however the worker ends.

    If this process is killed as well, the next one removes it. A signal between its making and
    the note that it is to be removed would leave it behind, so signals wait.
    """
    try:
        parent = Path(tempfile.gettempdir())
        files.sweep(parent, _FOLDER)
        with _undisturbed():
            claimed = files.claim(parent, _FOLDER)
    except OSError as error:
        raise WriteFailed(
            f"there is no folder for temporary files: {error.strerror}", "TMPDIR names one"
        ) from error
    try:
        yield claimed.folder
    finally:
        with _undisturbed():
            files.release(claimed)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait that would leave the block by an exception.

    They cannot be blocked: that holds for one thread, and the kernel chooses another.
    """
    waiting: list[int] = []
    before = {
        number: signal.signal(number, lambda caught, _frame: waiting.append(caught))
        for number in _ENDINGS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in waiting:
            signal.raise_signal(caught)


@contextmanager
def _process(job: Job, log: Log, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Answers]]:
    ours, theirs = os.pipe()
    own = {"TMPDIR": str(folder), "KERAS_HOME": str(folder / "keras")}
    with os.fdopen(ours, "rb"):
        # -P: a module that lies beside the model is none of ours.
        command = [sys.executable, "-P", "-m", "foldbn.worker", str(theirs), str(os.getpid())]
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=subprocess.PIPE,
                stdout=log.descriptor,
                stderr=log.descriptor,
                pass_fds=[theirs],
                start_new_session=True,
                env={**os.environ, **_ENVIRONMENT, **own},
            )
        except OSError as error:
            raise WorkerDied(f"the worker process cannot be started: {error.strerror}") from error
        os.close(theirs)
        log.start()
        with process:
            try:
                with suppress(BrokenPipeError):  # it died already, and the pipe will say so
                    _hand_over(process, msgspec.json.encode(job))
                yield process, Answers(ours)
            finally:
                _end(process)


def _hand_over(process: subprocess.Popen[bytes], job: bytes) -> None:
    if process.stdin is None:
        raise TypeError("the worker was started without a pipe to its standard input")
    with process.stdin as stdin:
        stdin.write(job)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _as_error(failure: Failure) -> FoldbnError:
    error = FoldbnError.of(failure.id, failure.exit_code, failure.message, failure.hint)
    error.add_note(failure.trace)
    return error


def _late(seconds: float) -> TimedOut:
    return TimedOut(
        f"the worker process was ended after {seconds:g} s, before its answer",
        "--timeout SECONDS allows more, 0 as much as it takes",
    )


def _died(code: int, printed: bytes, log_file: Path | None, memory: int) -> WorkerDied:
    kept = f"its log is in {str(log_file)!r}" if log_file else "--log-file FILE keeps its log"
    if memory and (tells_of_memory(printed) or peak_memory(of_children=True) > _NEAR * memory):
        return out_of_memory(memory)
    how = f"with exit code {code}" if code >= 0 else f"by {_name(-code)}"
    hint = f"{kept}; SIGKILL often means that memory ran out" if code == -9 else kept
    return WorkerDied(f"the worker process ended {how} before its answer", hint)


def _name(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")

"""What every command does around its work: progress, the answer, the error."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click

from foldbn.errors import FoldbnError, ReportLost, UsageError

LOG_HEADER = b"# what foldbn's worker printed\n"
_STANDARD_ERROR = ("/dev/stderr", "/dev/fd/2", "/proc/self/fd/2")
_PIPED_WIDTH = 200  # nothing wraps in a file or a log
_PHASES = {
    "load": "loading the model",
    "fold": "folding",
    "verify": "verifying",
    "export": "exporting",
    "bench": "timing",
}


@dataclass(frozen=True)
class Shell:
    """How the user wants to be talked to.

    Attributes:
        json: one JSON document on stdout and nothing else there.
        quiet: no progress, and only the paths of what was written or verified.
        verbose: every figure there is.
        log_file: keeps everything that the worker prints.
        memory_limit: GB that the worker may take; 0 is no limit, None the default.
        timeout: seconds after which the worker is ended; 0 is never.
    """

    json: bool
    quiet: bool
    verbose: bool
    log_file: Path | None
    memory_limit: float | None
    timeout: float

    def run(self, command: str, arguments: dict[str, Any]) -> Any:
        """Run a command in a worker, telling its progress, and show its result."""
        from foldbn import worker

        _check_log_file(self.log_file)
        memory = None if self.memory_limit is None else math.ceil(self.memory_limit * 10**9)
        with self._progress() as on_phase:
            result = worker.run(
                command,
                arguments,
                on_phase=on_phase,
                log_file=self.log_file,
                limits=worker.Limits(memory, self.timeout),
            )
        with standard_output("the work is done; only its report is lost"):
            self._show(result)
        return result

    def _show(self, result: Any) -> None:
        from foldbn.report import document

        if self.json:
            click.echo(document(result))
        elif self.quiet:
            for artifact in getattr(result, "artifacts", ()):
                click.echo(artifact.path)
        else:
            self._render(result)

    def _render(self, result: Any) -> None:
        from rich.console import Console

        from foldbn.report import render

        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
        console = Console(highlight=False, markup=False, emoji=False, width=width)
        render(result, console, verbose=self.verbose)

    @contextmanager
    def _progress(self) -> Iterator[Callable[[str], None]]:
        """Give a function to tell phases to: a spinner on a TTY, elsewhere a line for each."""
        if self.quiet:
            yield lambda _phase: None
        elif sys.stderr.isatty():
            from rich.console import Console

            console = Console(stderr=True, highlight=False)
            with console.status("starting") as status:
                yield lambda phase: status.update(_PHASES.get(phase, phase))
        else:
            yield lambda phase: _tell(f"foldbn: {_PHASES.get(phase, phase)}")


def _tell(line: str) -> None:
    """Print a line on stderr; where that cannot be written, there is nobody to tell it to."""
    try:
        click.echo(line, err=True)
    except OSError:
        _discard(sys.stderr)


@contextmanager
def standard_output(hint: str = "") -> Iterator[None]:
    """Print on stdout in the block.

    Raises:
        ReportLost: it cannot be written. A reader that has gone, like `head`, has read what it
            wanted, and the exit code is still true.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        fact = f"cannot write to standard output: {error.strerror}"
        raise ReportLost(fact, hint) from error


def _discard(stream: TextIO) -> None:
    """Let what a stream still holds, and all that follows, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _check_log_file(path: Path | None) -> None:
    if path is not None:
        try:
            if path.exists() and _only_takes(path):
                with path.open("ab") as file:
                    file.write(LOG_HEADER)
                return
            if path.exists() and not path.is_file():
                raise UsageError(f"{str(path)!r} is no regular file", "choose another name")
            if path.exists() and not _is_log(path):
                raise UsageError(f"{str(path)!r} exists and is no log", "choose another name")
            path.write_bytes(LOG_HEADER)
        except OSError as error:
            raise UsageError(f"cannot write the log {str(path)!r}: {error.strerror}") from error


def _only_takes(path: Path) -> bool:
    """Whether what is written to a file is not kept there: it is ``/dev/null``, or ``/dev/stderr``.

    Another device or a FIFO may let whoever opens it wait for ever. The file that standard error
    goes to is one to keep, unless it is called standard error.
    """
    if os.path.abspath(path) in _STANDARD_ERROR:  # noqa: PTH100 - which leaves links alone
        return True
    found, takes = path.stat(), (Path(os.devnull).stat(), os.fstat(2))
    return not path.is_file() and any(os.path.samestat(found, each) for each in takes)


def _is_log(path: Path) -> bool:
    """Whether a file is a log of an earlier run: nothing else may be replaced by one."""
    with path.open("rb") as file:
        return file.read(len(LOG_HEADER)) == LOG_HEADER


def show_error(error: FoldbnError, *, as_json: bool, debug: bool = False) -> None:
    """Print an error: a document on stdout under ``--json``, otherwise lines on stderr."""
    from foldbn.report import error_document, printable, printable_line

    if debug:
        for note in getattr(error, "__notes__", ()):
            for line in note.splitlines():
                _tell(printable_line(line))
    if as_json and not isinstance(error, ReportLost):
        with suppress(ReportLost), standard_output():
            click.echo(error_document(error))
        return
    _tell(f"error {error.id}: {printable(error.message)}")
    if error.hint:
        _tell(f"hint: {printable(error.hint)}")

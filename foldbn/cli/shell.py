"""What every command does around its work: progress, the answer, the error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from foldbn.errors import FoldbnError, UsageError

LOG_HEADER = b"# what foldbn's worker printed\n"
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
        quiet: no progress, and only the paths of what was written.
        verbose: every figure there is.
        log_file: keeps everything that the worker prints.
    """

    json: bool
    quiet: bool
    verbose: bool
    log_file: Path | None

    def run(self, command: str, arguments: dict[str, Any]) -> Any:
        """Run a command in a worker, telling its progress, and show its result."""
        from foldbn import worker

        _check_log_file(self.log_file)
        with self._progress() as on_phase:
            result = worker.run(command, arguments, on_phase=on_phase, log_file=self.log_file)
        try:
            self._show(result)
        except BrokenPipeError:
            # Whoever read our output has gone; the exit code is still true.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
        sys.stdout.flush()

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
            yield lambda phase: click.echo(f"foldbn: {_PHASES.get(phase, phase)}", err=True)


def _check_log_file(path: Path | None) -> None:
    if path is not None:
        try:
            if path.exists() and not _is_log(path):
                raise UsageError(f"{str(path)!r} exists and is no log", "choose another name")
            path.write_bytes(LOG_HEADER)
        except OSError as error:
            raise UsageError(f"cannot write the log {str(path)!r}: {error.strerror}") from error


def _is_log(path: Path) -> bool:
    """Whether a file is a log of an earlier run: nothing else may be replaced by one."""
    with path.open("rb") as file:
        return file.read(len(LOG_HEADER)) == LOG_HEADER


def show_error(error: FoldbnError, *, as_json: bool, debug: bool = False) -> None:
    """Print an error: a document on stdout under ``--json``, otherwise lines on stderr."""
    from foldbn.report import error_document, printable

    if debug:
        for note in getattr(error, "__notes__", ()):
            click.echo(note, err=True)
    if as_json:
        click.echo(error_document(error))
        return
    click.echo(f"error {error.id}: {printable(error.message)}", err=True)
    if error.hint:
        click.echo(f"hint: {printable(error.hint)}", err=True)

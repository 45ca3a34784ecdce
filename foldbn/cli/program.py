"""The command group, and the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from foldbn.cli.commands import bench, convert, inspect, verify
from foldbn.cli.shell import show_error, standard_output
from foldbn.errors import FoldbnError, Interrupted, Terminated, UsageError
from foldbn.version import __version__


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "FOLDBN",
        "max_content_width": 100,
    },
    epilog="Exit codes: 0 done; 1 verification or a threshold failed; 2 usage; 3 input unreadable,"
    " unsafe or unsupported; 4 conversion or a runtime failed; 5 --require-fold not met;"
    " 70 a bug in foldbn; 129 hung up, 130 interrupted, 143 terminated.",
)
@click.version_option(__version__, package_name="foldbn", message="%(prog)s %(version)s")
def foldbn() -> None:
    """Fold the BatchNormalization of trained Keras models away, prove it, and export them."""


for _command in (convert, inspect, verify, bench):
    foldbn.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    _open_standard_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _terminate)
    given = list(sys.argv[1:] if arguments is None else arguments)
    code: int | None = None
    as_json, debug = _asked_for("json", given), _asked_for("debug", given)
    try:
        with standard_output():
            code = foldbn.main(given, prog_name="foldbn", standalone_mode=False)
    except click.UsageError as error:
        if not as_json:
            with suppress(OSError):
                error.show()
            sys.exit(error.exit_code)
        show_error(UsageError(error.format_message()), as_json=True)
        sys.exit(error.exit_code)
    except FoldbnError as error:
        show_error(error, as_json=as_json, debug=debug)
        sys.exit(error.exit_code)
    except _Signal as received:
        terminated = Terminated(f"ended by {received.name}")
        terminated.exit_code = received.status
        show_error(terminated, as_json=as_json)
        sys.exit(received.status)
    except (click.Abort, KeyboardInterrupt):
        interrupted = Interrupted("interrupted")
        show_error(interrupted, as_json=as_json)
        sys.exit(interrupted.exit_code)
    except Exception as error:
        if debug:
            raise
        bug = FoldbnError(f"a bug in foldbn: {type(error).__name__}: {error}", "--debug shows it")
        show_error(bug, as_json=as_json)
        sys.exit(bug.exit_code)
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open what the caller has closed of descriptors 0, 1 and 2: nothing else may get these.

    A pipe to the worker that is called 1 would be taken for its standard output.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _asked_for(flag: str, given: list[str]) -> bool:
    """Whether a flag is set, by the command line or by the environment."""
    if f"--{flag}" in given:
        return True
    command = next((word for word in given if word in foldbn.commands), "")
    value = os.environ.get(f"FOLDBN_{command}_{flag}".upper(), "")
    return value.lower() in ("1", "true", "t", "yes", "y", "on")


class _Signal(SystemExit):
    """A signal that ends the command, as an exception, so that worker and files go too."""

    def __init__(self, number: int) -> None:
        self.name, self.status = signal.Signals(number).name, 128 + number
        super().__init__(self.status)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise _Signal(number)

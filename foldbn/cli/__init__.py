"""The `foldbn` command: Click, text and exit codes; all work is done by the worker."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    try:
        from foldbn.cli.program import run
    except KeyboardInterrupt:
        sys.exit(130)  # nothing has begun
    run(arguments)


__all__ = ["main"]

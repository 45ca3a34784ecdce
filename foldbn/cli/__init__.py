"""The `foldbn` command: Click, text and exit codes; all work is done by the worker."""

from foldbn.cli.main import main

__all__ = ["main"]

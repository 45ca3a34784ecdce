"""The user's own classes and functions: run their file, and say what it lacks."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foldbn.errors import Unsupported, UsageError

_RUN_AS = "<run_path>"  # the module of what a file that is run defines itself
_SHOWN = 3


class Stranger(Unsupported):
    """A Keras file names a class or function that is neither Keras's nor the user's.

    Attributes:
        name: of the class or function; empty where nobody says.
    """

    name = ""


def stranger(source: str, name: str, module: str = "") -> Stranger:
    """Return the error for a class or function that nobody has defined.

    Args:
        source: the file that names it.
        name: of the class or function.
        module: where the file has it from, if that tells anything.
    """
    place = f" of the module {module!r}" if module else ""
    error = Stranger(
        f"{source!r} has a layer or function that Keras does not know: {name!r}{place}",
        "--custom-objects FILE.py takes a Python file that defines it",
    )
    error.name = name
    return error


def run_definitions(path: Path) -> dict[str, Any]:
    """Run a Python file of the user's own and return the classes and functions it defines.

    Raises:
        UsageError: it is no regular file, or fails.
    """
    # Path.exists raises where no file can have such a name; running it says what is wrong.
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110
        raise UsageError(
            f"{str(path)!r} cannot be run: it is no regular file",
            "--custom-objects takes a Python file that defines the model's own layers",
        )
    try:
        names = runpy.run_path(str(path))
    except Exception as error:
        raise UsageError(
            f"{str(path)!r} cannot be run: {type(error).__name__}: {error}",
            "--custom-objects takes a Python file that defines the model's own layers",
        ) from error
    return {name: value for name, value in names.items() if callable(value) and name[:2] != "__"}


def under_packages(own: dict[str, Any], config: Any) -> dict[str, Any]:
    """Return the user's classes and functions under the packages they were registered in.

    A file says ``package>Name`` of what was registered, and Keras looks for just that.
    """
    found, waiting = {}, [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and ">" in part and part.rpartition(">")[2] in own:
            found[part] = own[part.rpartition(">")[2]]
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


@contextmanager
def lacking(path: Path | None, own: dict[str, Any], model: Path) -> Iterator[None]:
    """Say of a stranger in the block that the file which was given does not define it.

    Args:
        path: of the user's file; without one, the error is told as it is.
        own: what it defines.
        model: the file that names the stranger.

    Raises:
        Unsupported: the block met one.
    """
    try:
        yield
    except Stranger as error:
        if path is None:
            raise
        name = error.name.rpartition(">")[2]  # package>Name
        raise Unsupported(
            f"{str(path)!r} does not define {name!r}, which {str(model)!r} names; it defines"
            f" {_shown(own)}",
            f"define a class or function {name!r} in it",
        ) from error


def _shown(own: dict[str, Any]) -> str:
    """Return a few names of what a file defines; what it imports counts if there is no other."""
    defined = [name for name, value in own.items() if _module(value) == _RUN_AS] or own
    names = sorted(name for name in defined if ">" not in name)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more or "no class or function"


def _module(value: Any) -> str:
    return str(getattr(value, "__module__", ""))

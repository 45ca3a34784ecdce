"""Python functions that a file holds as bytecode: is it this Python's, and what does it call?

Nothing in a Keras file says which Python wrote it, and the bytecode of another version is garbage
to this one: run, it can crash the process. So it is looked at first.
"""

from __future__ import annotations

import base64
import binascii
import dis
import marshal
import struct
import types
from collections.abc import Callable
from typing import Any

_BEFORE_RESUME = ("COPY_FREE_VARS", "MAKE_CELL", "EXTENDED_ARG")
_HEADER = struct.Struct("<B5iBi")  # kind, five counts, kind of the code's bytes, their length
_FLAG = 0x80  # marshal's mark on an object that is referred to again


def load_function(stored: list[Any], names: dict[str, Any]) -> Callable[..., Any] | None:
    """Return a stored function, or None if another Python wrote it. Nothing of it is run.

    Args:
        stored: its bytecode as text, the defaults of its arguments, and what it closes over.
        names: what the function finds under its global names.
    """
    text, *rest = (*stored, None, None, None)[:3]
    defaults, closure = (part if isinstance(part, list) else [] for part in rest)
    code = _code_of(str(text))
    if code is None or len(closure) != len(code.co_freevars):
        return None
    cells = tuple(types.CellType(value) for value in closure)
    return types.FunctionType(code, dict(names), code.co_name, tuple(defaults), cells)


def is_foreign(stored: list[Any]) -> bool:
    """Whether the first bytes of a stored function say that another Python wrote it."""
    return not _begins_like_ours(_raw(str((*stored, None)[0])))


def _raw(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):  # Keras 1 stored the bytes themselves
        return text.encode("raw_unicode_escape")


def _code_of(text: str) -> types.CodeType | None:
    raw = _raw(text)
    if not _begins_like_ours(raw):
        return None
    try:
        code = marshal.loads(raw)  # noqa: S302 - the caller was asked to trust the file
    except (ValueError, EOFError, TypeError):
        return None
    return code if isinstance(code, types.CodeType) and _is_ours(code) else None


def _begins_like_ours(raw: bytes) -> bool:
    """Whether marshalled code has this Python's layout, and begins with its RESUME."""
    if len(raw) < _HEADER.size:
        return False
    kind, *_, inner, length = _HEADER.unpack_from(raw)
    if kind & ~_FLAG != ord("c") or inner & ~_FLAG != ord("s"):
        return False
    for place in range(_HEADER.size, min(_HEADER.size + length, len(raw)), 2):
        name = dis.opname[raw[place]]
        if name == "RESUME":
            return True
        if name not in _BEFORE_RESUME:
            return False
    return False


def _is_ours(code: types.CodeType) -> bool:
    """Whether every instruction is one of this Python's, followed by as much room as it needs.

    Instructions are followed by empty room whose length differs between versions: read by
    another, an instruction lies where there should be zeros, or the other way round.
    """
    try:
        steps = list(dis.get_instructions(code))
    except (IndexError, ValueError):
        return False
    ends = [step.offset for step in steps[1:]] + [len(code.co_code)]
    known = all(step.opname in dis.opmap and step.opname != "CACHE" for step in steps)
    empty = not any(
        any(code.co_code[step.offset + 2 : end]) for step, end in zip(steps, ends, strict=True)
    )
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return known and empty and all(_is_ours(each) for each in inner)

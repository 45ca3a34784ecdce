"""The JSON documents: a result's own fields under a schema name. Strict JSON, no NaN."""

from __future__ import annotations

from typing import Any

import msgspec

from foldbn.errors import FoldbnError
from foldbn.latencies import Benchmark
from foldbn.results import Conversion, Inspection, Verification
from foldbn.version import __version__

_SCHEMAS: dict[type, str] = {
    Conversion: "foldbn.convert/1",
    Inspection: "foldbn.inspect/1",
    Verification: "foldbn.verify/1",
    Benchmark: "foldbn.bench/1",
}


def document(result: Benchmark | Conversion | Inspection | Verification) -> str:
    """Return a result as one JSON document."""
    return _dump({"schema": _SCHEMAS[type(result)], "foldbn": __version__}, result)


def error_document(error: FoldbnError) -> str:
    """Return an error as one JSON document."""
    parts = {
        "id": error.id,
        "exit_code": error.exit_code,
        "message": error.message,
        "hint": error.hint,
    }
    return _dump({"schema": "foldbn.error/1"}, {"error": parts})


def _dump(head: dict[str, str], body: Any) -> str:
    plain = {**head, **msgspec.to_builtins(body)}
    return _escaped(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode())


def _escaped(document: str) -> str:
    """Write as JSON's own escapes what a terminal, a CI log or a page would obey in a name.

    All of it can only stand inside strings, and means the same to whoever parses them.
    """
    shown = "".join(c if c == "\n" or _is_harmless(c) else _escapes(c) for c in document)
    return shown.replace("::", f":{_escapes(':')}").replace("##", f"#{_escapes('#')}")


def _is_harmless(character: str) -> bool:
    return character.isprintable() and character not in "<>&"


def _escapes(character: str) -> str:
    """Return a character in JSON's escapes: UTF-16, four digits for each unit."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))

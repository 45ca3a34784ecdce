"""The JSON documents: a result's own fields under a schema name. Strict JSON, no NaN."""

from __future__ import annotations

from typing import Any

import msgspec

from foldbn.errors import FoldbnError
from foldbn.results import Benchmark, Conversion, Inspection, Verification
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
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()

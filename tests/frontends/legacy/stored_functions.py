"""Functions as files of Keras store them in a Lambda layer."""

from __future__ import annotations

import base64
import marshal
from typing import Any

import numpy as np

X = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
# Of Python 3.7, 3.8 and 3.10, as old files hold it: x * 2.0 + 1.0.
OLD = {
    "3.7": (
        "4wEAAAAAAAAAAQAAAAIAAABTAAAAcwwAAAB8AGQBFABkAhcAUwApA07nAAAAAAAAAEDnAAAAAAAA\n"
        "8D+pACkB2gF0cgMAAAByAwAAAPoGem9vLnB52gg8bGFtYmRhPpwBAADzAAAAAA==\n"
    ),
    "3.8": (
        "4wEAAAAAAAAAAAAAAAEAAAACAAAAUwAAAHMMAAAAfABkARQAZAIXAFMAqQNO5wAAAAAAAABA5wAA\n"
        "AAAAAPA/qQApAdoBdHIEAAAAcgQAAAD6Bnpvby5wedoIPGxhbWJkYT6cAQAA8wAAAAA=\n"
    ),
    "3.10": (
        "4wEAAAAAAAAAAAAAAAEAAAACAAAAUwAAAPMMAAAAfABkARQAZAIXAFMAqQNO5wAAAAAAAABA5wAA\n"
        "AAAAAPA/qQApAdoBdHIFAAAAcgUAAAD6Fi90bXAvbGFiL2xlZ2FjeS96b28ucHnaCDxsYW1iZGE+\n"
        "nAEAAHMCAAAADAA=\n"
    ),
}


def code(function: Any) -> str:
    """Return a function's bytecode as Keras stores it."""
    return base64.encodebytes(marshal.dumps(function.__code__)).decode()


def keras_2(stored: Any, kind: str = "lambda", **more: Any) -> dict[str, Any]:
    """Return the configuration of a Lambda layer in a file of Keras 2."""
    return {"name": "lambda_1", "function": stored, "function_type": kind, "mask": None, **more}


def keras_3(stored: Any, **more: Any) -> dict[str, Any]:
    """Return the configuration of a Lambda layer in a file of Keras 3."""
    return {"name": "lambda", "function": stored, **more}


def named(name: str, module: str) -> dict[str, Any]:
    """Return a function as Keras 3 stores it by its name."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def stored(function: Any) -> dict[str, Any]:
    """Return a function as Keras 3 stores its bytecode."""
    inner = {"code": code(function), "defaults": None, "closure": None}
    return {"class_name": "__lambda__", "config": inner}


def double(x: Any) -> Any:
    """Return twice `x`."""
    return 2 * x

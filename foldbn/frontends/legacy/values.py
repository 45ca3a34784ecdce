"""How Keras 1 and 2 put numbers, tuples and types that JSON lacks into a configuration."""

from __future__ import annotations

from typing import Any

_SEQUENCES = ("__tuple__", "TensorShape", "ListWrapper", "_ListWrapper")


def plain(value: Any) -> Any:
    """Return `value` with wrapped arrays, tuples and list wrappers as numbers and lists.

    ``{"class_name": "__numpy__", "config": {"value": 0.2}}`` (TF 2.13), ``{"type": "ndarray",
    "value": 0.2}`` (Keras 2) and ``{"class_name": "__tuple__", "items": [1]}`` (TF 2) are such.
    """
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = value["config"] if isinstance(value.get("config"), dict) else value
    if value.get("class_name") in ("__numpy__", "__tensor__") and "value" in inner:
        return plain(inner["value"])
    if value.get("type") == "ndarray" and "value" in value:
        return plain(value["value"])
    if value.get("class_name") in _SEQUENCES:
        return plain(inner.get("items", inner.get("value", [])))
    return {key: plain(each) for key, each in value.items()}


def dtype_name(dtype: Any) -> Any:
    """Return the name of a type or of a policy of types: ``float32``, ``mixed_float16``."""
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        name = inner.get("name") if isinstance(inner, dict) else inner
        return dtype_name(name)
    # The policy that left the choice to the layer's first input; that is float32 here.
    return None if dtype in ("infer", "_infer") else dtype

"""Configurations of Keras models, great and small."""

from __future__ import annotations

from typing import Any

HUGE = 130_000  # squared and in float32: 63 GiB


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """Return a layer as Keras 3 serializes it."""
    return {"class_name": kind, "module": "keras.layers", "config": {"name": kind, **config}}


def stack(shape: list[Any], *layers: dict[str, Any]) -> dict[str, Any]:
    """Return a Sequential model as Keras 3 serializes it."""
    first = layer("InputLayer", batch_shape=[None, *shape], dtype="float32")
    config = {"name": "model", "layers": [first, *layers]}
    return {"class_name": "Sequential", "module": "keras", "config": config}


DENSE = layer("Dense", units=HUGE)

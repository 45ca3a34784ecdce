"""Keras models that compute with one constant between two dense layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.frontends.building import Build

ROW = [0.5, -2.0, 1.5]


def _constant(operation: Callable[..., Any], value: list[float] | float) -> Build:
    """Return a builder that computes with a constant between an activation and a dense layer.

    Args:
        operation: given ``keras.ops``, the tensor and the constant.
        value: of the constant.
    """

    def build(layers: Any, tensor: Any) -> Any:
        import keras
        import numpy as np

        hidden = layers.Dense(3, activation="tanh", name="before")(tensor)
        changed = operation(keras.ops, hidden, np.asarray(value, np.float32))
        return layers.Dense(2, name="after")(changed)

    return build


ARITHMETIC: dict[str, Build] = {
    "x * c": _constant(lambda ops, x, c: ops.multiply(x, c), ROW),
    "c * x": _constant(lambda ops, x, c: ops.multiply(c, x), ROW),
    "x + c": _constant(lambda ops, x, c: ops.add(x, c), ROW),
    "c + x": _constant(lambda ops, x, c: ops.add(c, x), ROW),
    "x + scalar": _constant(lambda ops, x, c: ops.add(x, c), 2.5),
    "x - c": _constant(lambda ops, x, c: ops.subtract(x, c), ROW),
    "c - x": _constant(lambda ops, x, c: ops.subtract(c, x), ROW),
    "x / c": _constant(lambda ops, x, c: ops.divide(x, c), ROW),
    "x / scalar": _constant(lambda ops, x, c: ops.divide(x, c), 255.0),
    "scalar - x": _constant(lambda ops, x, c: ops.subtract(c, x), 1.0),
    "-x": _constant(lambda ops, x, _: ops.negative(x), 1.0),
}

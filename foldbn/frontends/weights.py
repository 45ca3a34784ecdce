"""Refuse weights that are no numbers, before anything is computed from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import BadWeights
from foldbn.frontends.frozen import FLOATS, FrozenModel


def check_weights(model: FrozenModel) -> None:
    """Raise where a layer's weight, as it is stored, holds NaN or infinity.

    Of a variance of infinity nothing is left in what is computed from it: ``1 / sqrt(inf)`` is 0.

    Args:
        model: the frozen graph as the framework gave it.

    Raises:
        BadWeights: names the layer.
    """
    for constant, value in _constants(model):
        layer = model.layers.variables.get(constant)
        if layer is not None and (what := _what_is_wrong(value)):
            shown = model.layers.originals.get(layer, layer)
            raise BadWeights(f"layer {shown!r}: its weights hold {what}", "retrain or repair it")


def weights_of(model: FrozenModel) -> list[NDArray[Any]]:
    """Return all constants of a model that hold floats."""
    return [value for _, value in _constants(model)]


def _constants(model: FrozenModel) -> Iterator[tuple[str, NDArray[Any]]]:
    from tensorflow.python.framework import tensor_util

    for node in model.graph_def.node:
        if node.op == "Const":
            value = model.values.get(node.name)
            if value is None:
                value = tensor_util.MakeNdarray(node.attr["value"].tensor)
            if value.dtype.name in FLOATS and value.size:
                yield str(node.name), value


def _what_is_wrong(value: NDArray[Any]) -> str:
    ends = float(value.min()), float(value.max())  # NaN if there is one
    if np.isnan(ends).any():
        return "NaN"
    return "infinity" if np.isinf(ends).any() else ""

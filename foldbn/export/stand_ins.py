"""Convert light, then put the weights in.

Exporters copy every weight many times. They need not: a great constant is replaced by a
stand-in that takes no room, and its place in the exported file is filled at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from foldbn.frontends.frozen import FrozenModel, NodeDef, empty_like

_SMALL = 4096  # bytes; constants up to this size stay as they are
_FLOAT32 = 1  # DT_FLOAT
# Stand-ins are float32 numbers from 1 on, this far apart: each names one weight, exactly.
_STEP = 2.0**-12
_MOST = 2**12


@dataclass(frozen=True)
class LightModel:
    """A model without its great weights.

    Attributes:
        model: with a stand-in for each of them.
        weights: the weights, by the name of their node.
        values: for splat stand-ins, the weight that each number stands for.
    """

    model: FrozenModel
    weights: dict[str, NDArray[Any]]
    values: dict[float, str]


def with_placeholders(model: FrozenModel) -> LightModel:
    """Return `model` with a Placeholder for each great float32 constant."""

    def stand_in(node: NodeDef, _number: int) -> NodeDef:
        placeholder = type(node)(name=node.name, op="Placeholder")
        placeholder.attr["dtype"].CopyFrom(node.attr["dtype"])
        placeholder.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
        return placeholder

    return _lightened(model, stand_in)


def with_splats(model: FrozenModel) -> LightModel:
    """Return `model` with one number, a different one for each, in every great constant."""

    def stand_in(node: NodeDef, number: int) -> NodeDef:
        splat = type(node)(name=node.name, op="Const")
        splat.attr["dtype"].CopyFrom(node.attr["dtype"])
        tensor = splat.attr["value"].tensor
        tensor.dtype = _FLOAT32
        tensor.tensor_shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
        tensor.float_val.append(1 + number * _STEP)
        return splat

    return _lightened(model, stand_in)


def _lightened(model: FrozenModel, stand_in: Any) -> LightModel:
    from tensorflow.python.framework import tensor_util

    graph_def = empty_like(model.graph_def)
    weights: dict[str, NDArray[Any]] = {}
    values: dict[float, str] = {}
    for node in model.graph_def.node:
        if _is_great(node) and len(weights) < _MOST:
            graph_def.node.append(stand_in(node, len(weights)))
            values[1 + len(weights) * _STEP] = node.name
            weights[node.name] = tensor_util.MakeNdarray(node.attr["value"].tensor)
        else:
            graph_def.node.append(node)
    return LightModel(replace(model, graph_def=graph_def), weights, values)


def _is_great(node: NodeDef) -> bool:
    return (
        node.op == "Const"
        and node.attr["dtype"].type == _FLOAT32
        and len(node.attr["value"].tensor.tensor_content) > _SMALL
    )

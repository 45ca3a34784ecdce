"""Convert light, then put the weights in.

Exporters copy every weight many times. They need not: a great constant is replaced by a
stand-in that takes no room, and its place in the exported file is filled at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from foldbn.frontends.frozen import FrozenModel, NodeDef, empty_like, numpy_type

# Stand-ins are float32 numbers that no model reckons with, this far apart: each names one weight,
# exactly. What a converter computes of one is as strange.
STRANGE = 2.0**80
_FIRST, _STEP = 2.0**120, 2.0**108


@dataclass(frozen=True)
class LightModel:
    """A model without its great weights.

    Attributes:
        model: with a stand-in for each of them.
        weights: the weights, by the name of their node, in the type of the graph.
        values: for splat stand-ins, the weight that each number stands for.
    """

    model: FrozenModel
    weights: dict[str, NDArray[Any]]
    values: dict[float, str]


def with_placeholders(model: FrozenModel) -> LightModel:
    """Return `model` with a Placeholder for each great constant."""

    def stand_in(node: NodeDef, _number: int) -> NodeDef:
        placeholder = type(node)(name=node.name, op="Placeholder")
        placeholder.attr["dtype"].CopyFrom(node.attr["dtype"])
        placeholder.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
        return placeholder

    return _lightened(model, stand_in)


def with_splats(model: FrozenModel) -> LightModel:
    """Return `model` with one number, a different one for each, in every great constant."""
    from tensorflow.python.framework.tensor_util import make_tensor_proto

    def stand_in(node: NodeDef, number: int) -> NodeDef:
        kind, shape = numpy_type(node.attr["dtype"].type), node.attr["value"].tensor.tensor_shape
        tensor = make_tensor_proto(_value(number), kind, [dim.size for dim in shape.dim])
        splat = type(node)()
        splat.CopyFrom(node)
        splat.attr["value"].tensor.CopyFrom(tensor)
        return splat

    return _lightened(model, stand_in)


def _lightened(model: FrozenModel, stand_in: Any) -> LightModel:
    graph_def, stubs = empty_like(model.graph_def), model.stubs()
    order = {name: number for number, name in enumerate(stubs)}
    for node in model.graph_def.node:
        number = order.get(node.name)
        graph_def.node.append(node if number is None else stand_in(node, number))
    values = {_value(number): name for name, number in order.items()}
    return LightModel(replace(model, graph_def=graph_def), model.rounded().values, values)


def _value(number: int) -> float:
    """Return the number that stands for the weight of this place."""
    return _FIRST + number * _STEP

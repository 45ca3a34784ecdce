"""Write a map per channel of a vector or a volume as the one op that TFLite has for images.

    relu(x[N, D, H, W, C] * scale + shift)
        becomes   x -> [1, N * D * H, W, C] -> depthwise convolution, its ReLU fused -> x's shape
    relu(x[N, C] * scale + shift)
        becomes   x -> [1, 1, N, C] -> the same -> x's shape

A multiplication and an addition would read and write all of it twice. A volume keeps an axis of
rows, for it is by rows that a convolution is shared among threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    empty_like,
    node_of,
    readers_of,
    tensor_name,
)
from foldbn.frontends.precision import GraphRunner
from foldbn.frontends.written_out import insert

_OF_VECTOR, _OF_VOLUME = 2, 5  # ranks; some volumes have more
_FLOAT32 = 1  # DT_FLOAT
_FUSED = ("Relu", "Relu6")  # into a convolution, by the converter

_Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class _Map:
    """A product with a constant, the sum with another that alone reads it, and what is fused."""

    product: NodeDef
    total: NodeDef
    activation: NodeDef | None

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensor that is mapped, the scale and the shift."""
        return (*self.product.input, self.total.input[1])

    @property
    def nodes(self) -> tuple[NodeDef, ...]:
        """Its nodes; others read the last."""
        return (self.product, self.total, *filter(None, (self.activation,)))


def with_maps_of_images(model: FrozenModel) -> FrozenModel:
    """Return `model` with each such map as a depthwise convolution."""
    maps = _maps_in(model)
    if not maps:
        return model
    runner, result = GraphRunner(model), empty_like(model.graph_def)
    found = {}
    for each in maps:
        x, *parts = (runner.shape_of(tensor_name(source)) or () for source in each.sources)
        fits = len(x) == _OF_VECTOR or len(x) >= _OF_VOLUME
        if fits and all(_is_per_channel(x, part) for part in parts):
            found[each.nodes[-1].name] = (each, x)
    inner = {node.name for each, _ in found.values() for node in each.nodes[:-1]}
    for node in model.graph_def.node:
        if node.name in found:
            _write(result, *found[node.name])
        elif node.name not in inner:
            result.node.append(node)
    return replace(model, graph_def=result)


def _maps_in(model: FrozenModel) -> list[_Map]:
    readers = readers_of(model.graph_def)
    constants = {node.name for node in model.graph_def.node if node.op == "Const"}
    outputs = {port.node for port in model.outputs}

    def following(node: NodeDef, *kinds: str) -> NodeDef | None:
        """Return the one node that reads another, if it is of one of these kinds."""
        found = [] if node.name in outputs else readers.get(node.name, [])
        return found[0] if len(found) == 1 and found[0].op in kinds else None

    maps = []
    for product in model.graph_def.node:
        by_floats = product.op == "Mul" and product.attr["T"].type == _FLOAT32
        total = following(product, "AddV2", "BiasAdd") if by_floats else None
        if total is not None and {node_of(n.input[1]) for n in (product, total)} <= constants:
            maps.append(_Map(product, total, following(total, *_FUSED)))
    return maps


def _is_per_channel(x: _Shape, part: _Shape) -> bool:
    """Whether a constant of shape `part` has one number for each channel of `x`."""
    return part[-1:] == x[-1:] and {*part[:-1]} <= {1} and len(part) <= len(x)


def _write(graph_def: GraphDef, each: _Map, shape: _Shape) -> None:
    """Write a map of a tensor of this shape, by the name of its last node."""

    def body(tf: Any, x: Any, scale: Any, shift: Any) -> Any:
        lengths = [tf.shape(x)[axis] if n is None else n for axis, n in enumerate(shape)]
        image = [1, 1, -1] if len(shape) == _OF_VECTOR else [1, -1, lengths[-2]]
        rows = tf.reshape(x, [*image, shape[-1]])
        kernel = tf.reshape(scale, [1, 1, shape[-1], 1])
        rows = tf.nn.depthwise_conv2d(rows, kernel, [1, 1, 1, 1], "VALID")
        rows = tf.nn.bias_add(rows, tf.reshape(shift, [shape[-1]]))
        if each.activation is not None:
            rows = {"Relu": tf.nn.relu, "Relu6": tf.nn.relu6}[each.activation.op](rows)
        whole = [-1, *lengths[1:]] if shape[0] is None else lengths
        return tf.reshape(rows, whole)

    like = type(each.product)(name=each.nodes[-1].name, input=each.sources)
    insert(graph_def, like, body, ("float32",) * 3, shape)

"""Write ops on ``[N, C, ...]`` as ops on ``[N, ..., C]``: the only order that every runtime has.

TensorFlow's CPU has no kernel for convolutions whose channels come first, and TFLite has none at
all:

    Conv2D(NCHW)   becomes   Transpose -> Conv2D(NHWC) -> Transpose

Where one such op reads another, perhaps by way of an activation, nothing is turned in between.
The last Transpose has the name of the op, so that readers and outputs stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from foldbn.errors import ConversionFailed
from foldbn.frontends.frozen import (
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    node_of,
    tensor_name,
)

# The port at which each kind of op reads its images.
_BACKPROP = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")
_PORTS = {
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), 0),
    **dict.fromkeys(_BACKPROP, 2),
    **dict.fromkeys(("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D"), 0),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), 0),
    **dict.fromkeys(("SpaceToDepth", "DepthToSpace"), 0),
}
_GRIDS = ("SpaceToBatchND", "BatchToSpaceND")
_RANKS = {b"NCHW": 4, b"NCDHW": 5}
_LISTS = ("strides", "dilations", "ksize")
_ELEMENTWISE = ("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Identity")
_INT32 = 3  # DT_INT32
_LAST = "/channels_last"


def channels_last(graph_def: GraphDef) -> GraphDef:
    """Return a graph that computes the same, its windows and pools with the channel last."""
    if not any(_rank_of(node) for node in graph_def.node):
        return graph_def
    writer = _Writer(graph_def)
    for node in graph_def.node:
        writer.write(node)
    return writer.result


def has_grids(graph_def: GraphDef) -> bool:
    """Whether a graph has dilated convolutions on grids of pixels whose channels come first.

    tf2onnx reads them wrongly, and TFLite not at all.
    """
    return bool(_grids(graph_def))


def refuse_open_grids(graph_def: GraphDef) -> None:
    """Refuse such a convolution of images whose lengths are open.

    Raises:
        ConversionFailed: how they are padded is known only when they run.
    """
    nodes = {node.name: node for node in graph_def.node}
    for grid in _grids(graph_def):
        if nodes[node_of(grid.input[2])].op != "Const":
            raise ConversionFailed(
                f"{grid.name!r} pads images of open lengths, channels_first, for a dilated"
                " convolution, which no exporter takes",
                "give the model's input its lengths, or build it with data_format='channels_last'",
            )


def has_computed_sizes(graph_def: GraphDef) -> bool:
    """Whether a graph has a transposed convolution, channels first, that is told sizes as it runs.

    Those of sequences are, and those of open lengths. tf2onnx cuts what they give to the first
    two numbers after the batch, which are the lengths of an image only where these come first.
    """
    nodes = {node.name: node for node in graph_def.node}
    for node in graph_def.node:
        if node.op in _BACKPROP and _rank_of(node):
            sizes = nodes[node_of(node.input[0])]
            parts = [nodes[node_of(each)] for each in sizes.input[2:]]
            known = sizes.op == "Pack" and all(part.op == "Const" for part in parts)
            if not known and sizes.op != "Const":
                return True
    return False


def _grids(graph_def: GraphDef) -> list[NodeDef]:
    wanted = _wanted(graph_def)
    return [node for node in graph_def.node if node.op == _GRIDS[0] and node.name in wanted]


def _wanted(graph_def: GraphDef) -> dict[str, int]:
    """Return what is read with its channel first, with its rank; a sequence gets an axis before."""
    wanted: dict[str, int] = {}
    for node in reversed(graph_def.node):
        rank = _rank_of(node)
        if rank is not None:
            wanted[node_of(node.input[_PORTS[node.op]])] = rank
        elif node.op == "ExpandDims" and node.name in wanted:
            wanted[node_of(node.input[0])] = wanted[node.name] - 1
    return wanted


def _rank_of(node: NodeDef) -> int | None:
    """Return the rank of what a node reads with its channel first; None where it does not."""
    return _RANKS.get(_format_of(node)) if node.op in _PORTS else None


def _format_of(node: NodeDef) -> bytes:
    """Return where the channel of a node is; to look up what is not there would add it."""
    return bytes(node.attr["data_format"].s) if "data_format" in node.attr else b""


class _Writer:
    """Writes nodes anew.

    Attributes:
        result: the graph with the nodes that are written.
    """

    def __init__(self, graph_def: GraphDef) -> None:
        self.result: GraphDef = empty_like(graph_def)
        self._nodes = {node.name: node for node in graph_def.node}
        self._wanted = _wanted(graph_def)
        self._turned: dict[str, int] = {}  # a node that is there channel last as well -> its rank

    def write(self, node: NodeDef) -> None:
        """Add a node, turned where it has its channel first or reads nothing but such a node."""
        copy = type(node)()
        copy.CopyFrom(node)
        for index, source in enumerate(copy.input):
            if node_of(source) in self._turned and tensor_name(source) != node_of(source):
                copy.input[index] = source.replace(":", f"{_LAST}:")
        port = _PORTS.get(node.op, 0)
        source = tensor_name(node.input[port]) if node.input else ""
        rank = self._rank_before(node, source)
        if rank is None:
            self.result.node.append(copy)
            return
        copy.name = f"{node.name}{_LAST}"
        if source in self._turned:
            copy.input[port] = f"{source}{_LAST}"
        else:
            order = [0, *range(2, rank), 1]
            copy.input[port] = self._transpose(f"{copy.name}/before", source, order, node)
        self._turn(copy, node, rank)
        self.result.node.append(copy)
        if node.op == "Squeeze":
            rank -= len(node.attr["squeeze_dims"].list.i)
        rank += node.op == "ExpandDims"
        order = [0, rank - 1, *range(1, rank - 1)]
        self._transpose(node.name, copy.name, order, node)
        self._turned[node.name] = rank

    def _rank_before(self, node: NodeDef, source: str) -> int | None:
        """Return the rank of what a node reads, or None where it is left as it is."""
        rank, known = _rank_of(node), self._turned.get(source)
        if node.op in _GRIDS:
            return self._rank_of_grid(node, known or self._wanted.get(node.name))
        if node.op == "ExpandDims" and node.name in self._wanted:
            axis = self._constant(node.input[1])
            inside = axis is not None and axis % self._wanted[node.name] > 1
            return self._wanted[node.name] - 1 if inside else None
        if node.op == "Squeeze" and known is not None:
            axes = [axis % known for axis in node.attr["squeeze_dims"].list.i]
            return known if axes and min(axes) > 1 else None
        if node.op in _ELEMENTWISE or (node.op == "BiasAdd" and _format_of(node) == b"NCHW"):
            return known
        return rank

    def _rank_of_grid(self, node: NodeDef, rank: int | None) -> int | None:
        """Return the rank of what a dilated convolution is done on, if its channel comes first.

        The pixels of each grid move to the batch axis, in blocks of one along the channel.
        """
        block, margins = (self._constant(each) for each in node.input[1:3])
        if block is None or margins is None or block.size + 1 != rank:
            return None
        return None if block[0] != 1 or margins[0].any() else rank

    def _turn(self, copy: NodeDef, node: NodeDef, rank: int) -> None:
        """Let a copy of a node say of each axis what the node does, in the new order."""
        order = [0, *range(2, rank), 1]
        if node.op in _BACKPROP:
            copy.input[0] = self._sizes(copy, node, order)
        elif node.op in _GRIDS:
            for place in (1, 2):
                name, value = f"{copy.name}/of_axes_{place}", self._constant(node.input[place])
                copy.input[place] = add_constant(self.result, name, value[1:]).name
        elif node.op == "ExpandDims":
            axis = self._constant(node.input[1]) % (rank + 1) - 1
            copy.input[1] = add_constant(self.result, f"{copy.name}/axis", axis).name
        elif node.op == "Squeeze":
            axes = [axis % rank - 1 for axis in node.attr["squeeze_dims"].list.i]
            copy.attr["squeeze_dims"].list.i[:] = axes
        _reorder(copy, order)

    def _constant(self, reference: str) -> Any:
        from tensorflow.python.framework import tensor_util

        node = self._nodes[node_of(reference)]
        return tensor_util.MakeNdarray(node.attr["value"].tensor) if node.op == "Const" else None

    def _transpose(self, name: str, source: str, order: list[int], like: NodeDef) -> str:
        axes = add_constant(self.result, f"{name}/order", np.array(order, np.int32))
        node = self.result.node.add(name=name, op="Transpose", input=[source, axes.name])
        node.attr["T"].CopyFrom(like.attr["T"])
        node.attr["Tperm"].type = _INT32
        return name

    def _sizes(self, copy: NodeDef, node: NodeDef, order: list[int]) -> str:
        """Return the shape that a transposed convolution is told to give, its channel last."""
        given = self._nodes[node_of(node.input[0])]
        name = f"{copy.name}/sizes"
        if given.op == "Pack":
            sizes = self.result.node.add()
            sizes.CopyFrom(given)
            sizes.name = name
            sizes.input[:] = [given.input[axis] for axis in order]
            return name
        places = add_constant(self.result, f"{name}/order", np.array(order, np.int32))
        axis = add_constant(self.result, f"{name}/axis", np.array(0, np.int32))
        inputs = [node.input[0], places.name, axis.name]
        sizes = self.result.node.add(name=name, op="GatherV2", input=inputs)
        for kind in ("Tparams", "Tindices", "Taxis"):
            sizes.attr[kind].type = _INT32
        return name


def _reorder(node: NodeDef, order: list[int]) -> None:
    """Put what a node says of each axis into another order, and name it."""
    for name in _LISTS:
        values = list(node.attr[name].list.i) if name in node.attr else []
        if values:
            node.attr[name].list.i[:] = [values[axis] for axis in order]
    flat = list(node.attr["explicit_paddings"].list.i) if "explicit_paddings" in node.attr else []
    if flat:
        pairs = [flat[2 * axis : 2 * axis + 2] for axis in order]
        node.attr["explicit_paddings"].list.i[:] = [n for pair in pairs for n in pair]
    if "data_format" in node.attr:
        wide = node.op in _PORTS and len(order) > len("NHWC")
        node.attr["data_format"].s = b"NDHWC" if wide else b"NHWC"

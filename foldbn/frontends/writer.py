"""Write a folded graph of ops back as a frozen TensorFlow graph.

What folding did not touch is written back node by node as it was; a changed op gets new
constants, in float64 to be proven and in the node's own type to be exported.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from foldbn import ops
from foldbn.affine import Array
from foldbn.errors import ConversionFailed
from foldbn.frontends.context import Context
from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    node_of,
    numpy_type,
    prune,
    store,
    tensor_name,
)
from foldbn.frontends.pivots import nodes_in_branches
from foldbn.frontends.reader import Reading
from foldbn.frontends.recognizers import LINEAR, MATRIX
from foldbn.frontends.recurrence import find_projection, with_bias
from foldbn.graph import Graph, Node

_IMAGE_RANK = 3  # of the samples that a two-dimensional convolution works on
_INT32 = 3  # DT_INT32


def write(model: FrozenModel, reading: Reading, folded: Graph) -> FrozenModel:
    """Return `model` with the ops of `folded` in place of those it was read as.

    Args:
        model: the frozen graph that was read.
        reading: what was read.
        folded: the graph of `reading` after folding.

    Raises:
        ConversionFailed: a folded weight is too great for the type it is stored in.
    """
    writer = _Writer(model)
    for node in folded:
        before = reading.graph[node.name]
        writer.write(node, before, reading.clusters[node.name])
    keep = tuple(port.node for port in model.outputs)
    pruned = prune(writer.graph_def, keep)
    there = {node.name for node in pruned.node}
    landmarks = {
        before: after for before, after in writer.landmarks.items() if node_of(after) in there
    }
    values = {name: value for name, value in writer.values.items() if name in there}
    return replace(model, graph_def=pruned, landmarks=landmarks, values=values)


class _Writer:
    def __init__(self, model: FrozenModel) -> None:
        self.graph_def: GraphDef = empty_like(model.graph_def)
        self._context = Context(model, {})
        self.values = dict(model.values)
        self.landmarks: dict[str, str] = {}
        self._hidden = nodes_in_branches(model.graph_def)
        self._shared: dict[Any, str] = {}
        self._moved: dict[str, str] = {}  # a tensor of the graph -> where it is now
        self._names = {node.name for node in model.graph_def.node}
        shapes = {
            node.name: [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
            for node in model.graph_def.node
            if node.op == "Const"
        }
        self._kernel_shapes = {
            node.name: shapes.get(node_of(node.input[1]))
            for node in model.graph_def.node
            if node.op in LINEAR
        }
        for node in model.graph_def.node:
            if node.op in ("Const", "Placeholder"):
                self.graph_def.node.add().CopyFrom(node)

    def write(self, node: Node, before: Node, cluster: tuple[NodeDef, ...]) -> None:
        """Write one op as nodes whose last has the name of the tensor it computes."""
        renamed = dict(zip(before.inputs, node.inputs, strict=True))
        sources = {old: self._moved.get(new, new) for old, new in renamed.items()}
        copies = [self._copy(member, sources) for member in cluster]
        if isinstance(node.op, ops.Opaque) and node.op is before.op:
            shown = {old: new for old, new in sources.items() if node_of(old) not in self._hidden}
            self.landmarks.update(shown)
        match node.op:
            case op if op is before.op:
                self.graph_def.node.extend(copies)
            case ops.DepthwiseConv() as op if isinstance(before.op, ops.AffineOp):
                self._write_depthwise(node, copies[0], op)
            case ops.Dense() | ops.Conv():
                self._write_linear(node, before, copies)
            case ops.Embedding(table):
                copies[-1].input[0] = self._weight(table, copies[-1], 0)
                self.graph_def.node.extend(copies)
            case ops.Recurrence() as op:
                self._write_recurrence(op, copies)
            case ops.Einsum() as op:
                port = int(tensor_name(cluster[0].input[0]) in before.inputs)
                self._write_einsum(node, op, copies[0], port)
            case ops.AffineOp() | ops.Bias() as op:
                self._write_affine(node, copies[0], op)
            case ops.Commuting():
                self._write_alias(node)
            case _:
                raise TypeError(f"{node.name}: no way to write a changed {node.op.title}")

    def _copy(self, node: NodeDef, sources: dict[str, str]) -> NodeDef:
        copy = type(node)()
        copy.CopyFrom(node)
        for index, reference in enumerate(copy.input):
            name = tensor_name(reference)
            copy.input[index] = sources.get(name, self._moved.get(name, reference))
        return copy

    def _write_linear(self, node: Node, before: Node, copies: list[NodeDef]) -> None:
        """Write kernel and bias anew; a layer that had no bias gets a BiasAdd."""
        op: Any = node.op
        had_bias = getattr(before.op, "bias", None) is not None
        body = copies[:-1] if had_bias else copies
        linear = next(copy for copy in body if copy.op in LINEAR)
        if op.kernel is not getattr(before.op, "kernel", None):  # else others may share it still
            linear.input[1] = self._weight(self._stored(op.kernel, linear), linear, 1)
        self.graph_def.node.extend(body)
        if op.bias is None:
            self._move(node, body[-1].name)
        else:
            self._write_bias(node, op, body[-1], linear)

    def _write_recurrence(self, op: ops.Recurrence, copies: list[NodeDef]) -> None:
        """Write a loop that takes another kernel and bias."""
        loop = copies[-1]
        found = find_projection(loop, self._context)
        if found is None:
            raise TypeError(f"{loop.name} is no loop over steps")
        places = [(found.kernel, op.kernel)]
        before = None if found.bias is None else self._context.constant(loop.input[found.bias])
        if found.bias is not None and before is not None and op.bias is not None:
            places.append((found.bias, with_bias(before, op.bias)))
        for place, value in places:
            name = f"{loop.name}/{('kernel', 'bias')[place == found.bias]}"
            loop.input[place] = self._constant(name, value, found.product)
        self.graph_def.node.extend(copies)

    def _write_einsum(self, node: Node, op: ops.Einsum, product: NodeDef, port: int) -> None:
        """Write a product whose constant is at `port`, and its bias as an addition."""
        product.input[port] = self._weight(op.kernel, product, port)
        self.graph_def.node.append(product)
        if op.bias is None:
            self._move(node, product.name)
        else:
            self._write_arithmetic(node, product, product.name, [("AddV2", "bias", op.bias)])

    def _weight(self, value: Array, node: NodeDef, port: int) -> str:
        """Add the new weight of a node; two uses of one weight that change alike share it."""
        same = (node.input[port], value.shape, hashlib.sha256(value.tobytes()).digest())
        if same not in self._shared:
            self._shared[same] = self._constant(f"{node.name}/kernel", value, node)
        return self._shared[same]

    def _stored(self, kernel: Array, linear: NodeDef) -> Array:
        """Return a kernel in the shape and order in which its node reads it."""
        for flip in ("transpose_b", "adj_y"):
            if flip in linear.attr and linear.attr[flip].b:
                return kernel.T
        if linear.op in MATRIX:
            return kernel
        return kernel.reshape(self._kernel_shapes[linear.name])

    def _write_depthwise(self, node: Node, like: NodeDef, op: ops.DepthwiseConv) -> None:
        """Write an affine layer as a depthwise convolution with a window of one.

        A sample ``[T, C]`` becomes ``[1, T, C]`` for it, as Conv1D does.
        """
        (source,) = node.inputs
        tensor = self._moved.get(source, source)
        flat = op.rank < _IMAGE_RANK
        if flat:
            tensor = self._add_reshaping("ExpandDims", node, tensor, like)
        linear = self.graph_def.node.add(
            name=self._free(f"{node.name}/depthwise"),
            op="DepthwiseConv2dNative",
            input=[tensor, ""],
        )
        linear.attr["T"].CopyFrom(like.attr["T"])
        linear.attr["strides"].list.i.extend([1, 1, 1, 1])
        linear.attr["dilations"].list.i.extend([1, 1, 1, 1])
        linear.attr["padding"].s = b"VALID"
        linear.attr["data_format"].s = b"NHWC"
        kernel = op.kernel.reshape(1, 1, *op.kernel.shape[-2:])
        linear.input[1] = self._constant(f"{linear.name}/kernel", kernel, linear)
        self._write_bias(node, op, linear, linear)
        if flat:
            self._move(node, self._add_reshaping("Squeeze", node, self._moved[node.output], like))

    def _add_reshaping(self, kind: str, node: Node, tensor: str, like: NodeDef) -> str:
        """Add an ExpandDims or Squeeze of the axis after the batch."""
        added = self.graph_def.node.add(
            name=self._free(f"{node.name}/{kind}"), op=kind, input=[tensor]
        )
        added.attr["T"].CopyFrom(like.attr["T"])
        if kind == "Squeeze":
            added.attr["squeeze_dims"].list.i.append(1)
        else:
            axis = self._free(f"{added.name}/dim")
            add_constant(self.graph_def, axis, np.array(1, np.int32))
            added.input.append(axis)
            added.attr["Tdim"].type = _INT32
        return str(added.name)

    def _write_bias(self, node: Node, op: Any, last: NodeDef, linear: NodeDef) -> None:
        """Add the bias of `op` to what `last` computes, in the element type of `linear`."""
        bias = self._constant(f"{linear.name}/bias", op.bias, linear)
        added = self.graph_def.node.add(
            name=self._free(f"{linear.name}/BiasAdd"), op="BiasAdd", input=[last.name, bias]
        )
        added.attr["T"].CopyFrom(linear.attr["T"])
        if getattr(op, "channels_first", False):
            added.attr["data_format"].s = b"NCHW"
        self._move(node, added.name)

    def _write_affine(self, node: Node, like: NodeDef, op: ops.AffineOp | ops.Bias) -> None:
        (source,) = node.inputs
        scale, shift = (np.ones(()), op.bias) if isinstance(op, ops.Bias) else op.affine.parts
        parts = []
        if (scale != 1).any():
            parts.append(("Mul", "scale", scale))
        if shift.any():
            parts.append(("AddV2", "shift", shift))
        self._write_arithmetic(node, like, self._moved.get(source, source), parts)

    def _write_arithmetic(
        self, node: Node, like: NodeDef, tensor: str, parts: list[tuple[str, str, Array]]
    ) -> None:
        """Apply constants to a tensor: each part is a TensorFlow op, a name and the numbers."""
        for kind, suffix, part in parts:
            name = self._free(f"{node.name}/{kind}")
            constant = self._constant(f"{node.name}/{suffix}", _trimmed(part), like)
            added = self.graph_def.node.add(name=name, op=kind, input=[tensor, constant])
            added.attr["T"].CopyFrom(like.attr["T"])
            tensor = name
        self._move(node, tensor)

    def _write_alias(self, node: Node) -> None:
        (source,) = node.inputs
        self._move(node, self._moved.get(source, source))

    def _move(self, node: Node, tensor: str) -> None:
        self._moved[node.output] = tensor

    def _constant(self, name: str, value: Array, like: NodeDef) -> str:
        """Add a constant of the element type of `like`, and keep its float64 value."""
        dtype = numpy_type(like.attr["Tparams" if like.op == "GatherV2" else "T"].type)
        if not (np.abs(value) <= np.finfo(dtype).max).all():
            raise ConversionFailed(
                f"folding makes {name!r} as large as {np.abs(value).max():.3g},"
                f" more than {np.dtype(dtype)} holds",
                "a layer scales by as much as that: look for a great gamma, or a tiny variance,"
                " and retrain or repair it",
            )
        name = self._free(name)
        store(self.graph_def, self.values, name, value, dtype)
        return name

    def _free(self, name: str) -> str:
        """Return `name`, or the first like it that no node has."""
        free, number = name, 0
        while free in self._names:
            number += 1
            free = f"{name}_{number}"
        self._names.add(free)
        return free


def _trimmed(part: Array) -> Array:
    """Return an array without the leading axes of length 1 that broadcasting puts back."""
    shape = part.shape
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return part.reshape(shape)

"""Read single TensorFlow nodes as ops: one function for each kind of node.

A recognizer returns the op and the tensors at its ports, or None where the node is not of
the plain form that the op stands for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from string import ascii_letters
from typing import Any

import numpy as np

from foldbn import ops
from foldbn.frontends.arithmetic import arithmetic, batch_norm, bias_add
from foldbn.frontends.context import Context, Recognized
from foldbn.frontends.frozen import NodeDef, tensor_name
from foldbn.frontends.selecting import SELECTING
from foldbn.frontends.walls import WALLS, wall


def _identity(node: NodeDef, context: Context) -> Recognized:
    return ops.identity(node.op), context.data(node)


def _relu(node: NodeDef, context: Context) -> Recognized:
    names = {"LeakyRelu": "LeakyReLU", "Abs": "Abs"}
    return ops.relu(names.get(node.op, "ReLU")), context.data(node)


def _shape_of(node: NodeDef, context: Context) -> Recognized:
    return ops.ShapeOf(), context.data(node)


def _pool(node: NodeDef, context: Context) -> Recognized | None:
    windows = zip(node.attr["ksize"].list.i, node.attr["strides"].list.i, strict=True)
    axes = tuple(axis - 1 for axis, pair in enumerate(windows) if pair != (1, 1))
    if -1 in axes or node.attr["padding"].s == b"EXPLICIT":
        return None
    if node.op.startswith("Max"):
        return ops.max_pool(axes), context.data(node)
    return ops.average_pool(axes, math.prod(node.attr["strides"].list.i)), context.data(node)


def _pad(node: NodeDef, context: Context) -> Recognized | None:
    pads = context.constant(node.input[1])
    fill = context.constant(node.input[2]) if node.op == "PadV2" else np.zeros(())
    if pads is None or fill is None or fill != 0 or pads[:1].any():
        return None
    axes = np.flatnonzero(pads.any(axis=1)) - 1
    return ops.zero_pad(tuple(axes.tolist())), context.data(node)


def _reduce(node: NodeDef, context: Context) -> Recognized | None:
    axes, sample = context.constant(node.input[1]), context.sample(node.input[0])
    if axes is None or sample is None:
        return None
    rank = len(sample) + 1
    places = tuple(sorted(int(axis) % rank - 1 for axis in np.atleast_1d(axes)))
    if not places or -1 in places:
        return None
    lengths = [sample[place] for place in places]
    if node.op == "Sum" and None in lengths:
        return None
    count = math.prod(n for n in lengths if n is not None) if node.op == "Sum" else 1
    kind: Any = node.op.lower()
    return ops.GlobalPool(kind, places, node.attr["keep_dims"].b, count), context.data(node)


def _reshape(node: NodeDef, context: Context) -> Recognized | None:
    source, target = context.sample(node.input[0]), context.sample(node.name)
    if source is None or target is None:
        return None
    op = ops.Reshape(source, target)
    inner, outer = map(math.prod, op.blocks)
    if not inner or not outer or max(inner, outer) % min(inner, outer):
        return None
    return op, (tensor_name(node.input[0]),)


def _squeeze(node: NodeDef, context: Context) -> Recognized | None:
    sample = context.sample(node.input[0])
    if sample is None or not node.attr["squeeze_dims"].list.i:
        return None
    axes = tuple(i % (len(sample) + 1) - 1 for i in node.attr["squeeze_dims"].list.i)
    return None if -1 in axes else (ops.Squeeze(axes), context.data(node))


def _expand_dims(node: NodeDef, context: Context) -> Recognized | None:
    axis, sample = context.constant(node.input[1]), context.sample(node.input[0])
    if axis is None or sample is None:
        return None
    place = int(axis.item()) % (len(sample) + 2) - 1
    return None if place < 0 else (ops.ExpandDims((place,)), context.data(node))


def _transpose(node: NodeDef, context: Context) -> Recognized | None:
    order = context.constant(node.input[1])
    if order is None or not order.size:
        return None
    if order[0] != 0:
        return ops.BatchTranspose(tuple(order.tolist())), context.data(node)
    return ops.Transpose(tuple((order[1:] - 1).tolist())), context.data(node)


def _concat(node: NodeDef, context: Context) -> Recognized | None:
    axis, data = context.constant(node.input[-1]), context.data(node)
    samples = [context.sample(source) for source in data]
    if axis is None or len(data) != len(node.input) - 1 or None in samples:
        return None
    known = [sample for sample in samples if sample is not None]
    place = int(axis.item()) % (len(known[0]) + 1) - 1
    if place < 0:
        return None  # such as the lengths of a shape, which is a tensor of rank 1
    sizes = tuple(sample[place] for sample in known)
    if None in sizes:
        return None
    return ops.Concat(place, tuple(size for size in sizes if size is not None)), data


def _stack(node: NodeDef, context: Context) -> Recognized | None:
    data, sample = context.data(node), context.sample(node.name)
    if sample is None or len(data) != len(node.input):
        return None
    place = node.attr["axis"].i % (len(sample) + 1) - 1
    return None if place < 0 else (ops.Stack(place, len(data)), data)


def _space_batch(node: NodeDef, context: Context) -> Recognized | None:
    block, margins = (context.constant(source) for source in node.input[1:3])
    if block is None or margins is None:
        return None
    # Where channels come first, a block of one stands for them.
    axes = tuple(np.flatnonzero((block > 1) | margins.any(axis=1)).tolist())
    if node.op == "BatchToSpaceND":
        return ops.batch_to_space(axes), context.data(node)
    return ops.space_to_batch(axes, padded=bool(margins.any())), context.data(node)


def _dense(node: NodeDef, context: Context) -> Recognized | None:
    if node.op != "MatMul" and context.constant(node.input[0]) is not None:
        return _mixing(node, context)
    kernel, sample = context.constant(node.input[1]), context.sample(node.input[0])
    flips = ("transpose_a", "transpose_b") if node.op == "MatMul" else ("adj_x", "adj_y")
    if kernel is None or sample is None or kernel.ndim != 2 or node.attr[flips[0]].b:
        return None
    if node.attr[flips[1]].b:
        kernel = kernel.T
    return ops.Dense(kernel, rank=len(sample)), context.data(node)


def _mixing(node: NodeDef, context: Context) -> Recognized | None:
    """Read ``W @ x``, a product over the last axis but one."""
    kernel, sample = context.constant(node.input[0]), context.sample(node.input[1])
    if kernel is None or sample is None or kernel.ndim != 2 or len(sample) < 2:
        return None
    if node.attr["adj_x"].b or node.attr["adj_y"].b:
        return None
    batch = ascii_letters[: len(sample) - 2]
    return ops.Einsum(kernel, (batch + "yz", "xy", batch + "xz")), context.data(node)


def _einsum(node: NodeDef, context: Context) -> Recognized | None:
    """Read a product of samples and one constant over labelled axes."""
    terms, _, result = node.attr["equation"].s.decode().replace(" ", "").partition("->")
    data = context.data(node)
    if len(node.input) != 2 or len(data) != 1 or "." in terms:
        return None
    place = int(tensor_name(node.input[1]) == data[0])
    labels, own = terms.split(",")[place], terms.split(",")[1 - place]
    kernel = context.constant(node.input[1 - place])
    batch = labels[:1]
    plain = all(len(set(term)) == len(term) for term in (labels, own, result))
    known = set(labels) <= set(own + result) and set(result) <= set(own + labels)
    if kernel is None or not (plain and known and batch) or batch in own or result[:1] != batch:
        return None
    return ops.Einsum(kernel, (labels[1:], own, result[1:])), data


def _embedding(node: NodeDef, context: Context) -> Recognized | None:
    """Read the rows of a constant table, looked up along its first axis."""
    table, axis = context.constant(node.input[0]), context.constant(node.input[2])
    sample = context.sample(node.name)
    if table is None or axis is None or sample is None or table.dtype.kind != "f":
        return None
    if axis != 0 or node.attr["batch_dims"].i or table.ndim < 2 or len(sample) < table.ndim - 1:
        return None
    return ops.Embedding(table, len(sample)), context.data(node)


def _convolution(node: NodeDef, context: Context) -> Recognized | None:
    kernel = context.constant(node.input[1])
    transposed = node.op in TRANSPOSED
    data = tensor_name(node.input[2 if transposed else 0])
    sample = context.sample(data)
    if kernel is None or sample is None:
        return None
    first = node.attr["data_format"].s.startswith(b"NC")
    channel = 0 if first else len(sample) - 1
    spatial = [axis for axis in range(len(sample)) if axis != channel]
    channels = sample[channel]
    if channels is None:
        return None
    common: dict[str, Any] = {
        "strides": _spatial(node, "strides", spatial),
        "dilations": _spatial(node, "dilations", spatial),
        "padding": _padding(node, spatial),
        "input_size": tuple(sample[axis] for axis in spatial),
        "channels_first": first,
    }
    if transposed:
        return ops.ConvTranspose(kernel, **common), (data,)
    if node.op == "DepthwiseConv2dNative":
        return ops.DepthwiseConv(kernel, **common), (data,)
    return ops.Conv(kernel, groups=channels // kernel.shape[-2], **common), (data,)


def _spatial(node: NodeDef, attribute: str, axes: list[int]) -> tuple[int, ...]:
    values = node.attr[attribute].list.i
    return tuple(int(values[axis + 1]) if values else 1 for axis in axes)


def _padding(node: NodeDef, axes: list[int]) -> Any:
    name = node.attr["padding"].s.decode().lower()
    if name != "explicit":
        return name
    flat = node.attr["explicit_paddings"].list.i
    return tuple((int(flat[2 * axis + 2]), int(flat[2 * axis + 3])) for axis in axes)


MATRIX = ("MatMul", "BatchMatMulV2", "BatchMatMulV3")
TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")
WINDOWED = ("Conv2D", "Conv3D", "DepthwiseConv2dNative", *TRANSPOSED)
LINEAR = MATRIX + WINDOWED

ARITHMETIC = ("Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "Div", "Neg", "Maximum", "Minimum")

Recognizer = Callable[[NodeDef, Context], Recognized | None]

RECOGNIZERS: dict[str, Recognizer] = {
    **dict.fromkeys(("Identity", "StopGradient", "PreventGradient", "Snapshot"), _identity),
    **dict.fromkeys(("Relu", "LeakyRelu", "Abs"), _relu),
    **dict.fromkeys(("Shape", "ShapeN", "Rank", "Size", "ZerosLike", "OnesLike"), _shape_of),
    **dict.fromkeys(("MaxPool", "MaxPool3D", "AvgPool", "AvgPool3D"), _pool),
    **dict.fromkeys(("Pad", "PadV2"), _pad),
    **dict.fromkeys(("Mean", "Max", "Min", "Sum"), _reduce),
    **dict.fromkeys(("SpaceToBatchND", "BatchToSpaceND"), _space_batch),
    **dict.fromkeys(MATRIX, _dense),
    **dict.fromkeys(WINDOWED, _convolution),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), batch_norm),
    **dict.fromkeys(ARITHMETIC, arithmetic),
    **SELECTING,
    **dict.fromkeys(WALLS, wall),
    "GatherV2": _embedding,
    "Einsum": _einsum,
    "Pack": _stack,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "Transpose": _transpose,
    "ConcatV2": _concat,
    "BiasAdd": bias_add,
}

"""Remove what tf2onnx leaves in a runtime's way; each pass is exact.

    size_resizings     Resize to a row too few           Resize to all rows
    count_groups       Conv of fewer channels than x     Conv of several groups
    squeeze_late       Squeeze -> f -> Unsqueeze           f in the image's own rank
    pool_globally      Transpose -> ReduceMean             GlobalAveragePool -> Flatten
    flatten_directly   Transpose -> Reshape -> MatMul      Reshape -> MatMul, kernel rows permuted
    shift_with_scale   x * scale + (product + shift)       BatchNormalization + product
    affine_in_one      Mul -> Add of constants             BatchNormalization
    window_of_one      depthwise Conv, window of one       BatchNormalization
    bias_into_conv     Conv -> Add(constant)               Conv with a bias
    pad_in_pool        Relu -> Pad(zeros) -> MaxPool       Relu -> MaxPool with pads
    stay_in_layout     layout ops that undo each other     nothing

None of them changes a number by more than another order of the same sum. What brings in an op
for floats, or constants of that type, asks for float32; the others do with any type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from foldbn.export.onnx_graph import NodeProto, OnnxGraph, attribute, set_attributes
from foldbn.export.onnx_normalizations import (
    affine_in_one,
    per_channel,
    shift_with_scale,
    window_of_one,
)
from foldbn.export.onnx_resizings import size_resizings
from foldbn.export.onnx_squeeze import squeeze_late

_GLOBAL = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}
_LAYOUT = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")


def tidy(proto: Any, constants: Iterable[str]) -> None:
    """Run every pass on an ONNX model.

    Args:
        proto: it is changed; it holds no great weights yet.
        constants: graph inputs that stand for weights.
    """
    names = tuple(constants)
    size_resizings(proto, names)
    _sweep(OnnxGraph(proto, names), count_groups, pool_globally, flatten_directly, pad_in_pool)
    squeeze_late(proto, names)
    normalize = (shift_with_scale, affine_in_one, window_of_one)
    _sweep(OnnxGraph(proto, names), bias_into_conv, *normalize, stay_in_layout)


def _sweep(graph: OnnxGraph, *passes: Callable[[OnnxGraph, NodeProto], None]) -> None:
    """Try each pass on every node, and write the graph back."""
    for rewrite in passes:
        for node in graph.live():
            rewrite(graph, node)
    graph.close()


def count_groups(graph: OnnxGraph, node: NodeProto) -> None:
    """Say how many groups a convolution has, which tf2onnx leaves out.

    It does so of volumes, and behind a transposed convolution of an open size, whose borders it
    cuts and pads by numbers that no shape is inferred from.
    """
    if node.op_type != "Conv" or attribute(node, "group", 1) != 1:
        return
    channels = _channels(graph, node.input[0])
    kernel = graph.shapes.get(node.input[1], ())
    if channels and len(kernel) > 2 and kernel[1] and channels % kernel[1] == 0:
        set_attributes(node, group=channels // kernel[1])


def _channels(graph: OnnxGraph, tensor: str) -> int | None:
    """Return C of ``[N, C, ...]``, or that of what was cut and padded to it along other axes."""
    axis = 1
    while (shape := graph.shapes.get(tensor, ()))[axis : axis + 1] in ((), (None,)):
        border = graph.producer(tensor, "Pad", "Slice", "Transpose")
        if border is None or (border.op_type == "Slice" and not _leaves(graph, border, axis)):
            return None
        if border.op_type == "Transpose":
            axis = attribute(border, "perm", ())[axis]
        tensor = border.input[0]
    return shape[axis]


def _leaves(graph: OnnxGraph, cut: NodeProto, axis: int) -> bool:
    """Whether a Slice leaves an axis whole; without axes of its own it begins with the first."""
    axes = graph.numbers(cut, "axes", 3) or ()
    return bool(axes) and min(axes) >= 0 and axis not in axes


def pool_globally(graph: OnnxGraph, node: NodeProto) -> None:
    """Average or maximum over all that a Transpose puts before the channel.

    ``reduce(transpose(x), axes) == flatten(global_pool(x))`` where `axes` are those that hold
    the spatial axes of x ``[N, C, ...]``.
    """
    transpose = graph.producer(node.input[0], "Transpose") if node.input else None
    if node.op_type not in _GLOBAL or transpose is None or attribute(node, "keepdims", 1):
        return
    order = attribute(transpose, "perm", ())
    axes = graph.numbers(node, "axes", 1) or ()
    reduced = sorted(order[axis] for axis in axes if -len(order) <= axis < len(order))
    if list(order[:1]) != [0] or reduced != list(range(2, len(order))):
        return
    source = transpose.input[0]
    if source not in graph.singles:
        return
    pooled = graph.add(_GLOBAL[node.op_type], [source], f"{node.output[0]}/pooled")
    graph.singles.add(pooled)
    graph.shapes[pooled] = (*graph.shapes.get(source, ())[:2], *[1] * len(reduced))
    graph.become(node, "Flatten", pooled, axis=1)


def flatten_directly(graph: OnnxGraph, node: NodeProto) -> None:
    """Permute the rows of a kernel instead of the axes of what it is multiplied with.

    ``reshape(transpose(x)) @ kernel == reshape(x) @ kernel'`` where row ``(c, h, w)`` of kernel'
    is row ``(h, w, c)`` of the kernel.
    """
    transpose = graph.producer(node.input[0], "Transpose") if node.input else None
    product = graph.reader(node.output[0], "MatMul", "Gemm")
    if node.op_type not in ("Reshape", "Flatten") or transpose is None or product is None:
        return
    order = tuple(attribute(transpose, "perm", ()))
    sizes = graph.shapes.get(transpose.output[0], (None, None))[1:]
    flat = graph.shapes.get(node.output[0], ())
    kernel = product.input[1]
    rows = math.prod(size or 0 for size in sizes)
    shape = graph.shapes.get(kernel, ())
    plain = not any(attribute(product, flip, 0) for flip in ("transA", "transB"))
    fits = product.input[0] == node.output[0] and len(shape) == 2 and shape[0] == rows != 0
    if order[:1] != (0,) or len(flat) != 2 or flat[1] != rows or not (plain and fits):
        return
    if not graph.is_constant(kernel) or graph.reads(kernel) != 1:
        return
    back = tuple(order.index(axis) - 1 for axis in range(1, len(order)))
    parted = graph.reshaped(kernel, (*(size or 0 for size in sizes), shape[1] or 0))
    moved = graph.transposed(parted, (*back, len(back)))
    graph.set_input(product, 1, graph.reshaped(moved, (rows, shape[1] or 0)))
    graph.set_input(node, 0, transpose.input[0])


def bias_into_conv(graph: OnnxGraph, node: NodeProto) -> None:
    """Let a convolution without a bias take in the constant that is added to each channel."""
    if node.op_type not in ("Conv", "ConvTranspose") or len(node.input) != 2:
        return
    add = graph.reader(node.output[0], "Add")
    shape = graph.shapes.get(node.output[0], ())
    if add is None or len(shape) < 3 or shape[1] is None:
        return
    other = next((tensor for tensor in add.input if tensor != node.output[0]), "")
    if not graph.is_constant(other) or graph.shapes.get(other) not in per_channel(shape):
        return
    graph.set_input(node, 2, graph.reshaped(other, (shape[1],)))
    graph.set_output(node, add.output[0])


def pad_in_pool(graph: OnnxGraph, node: NodeProto) -> None:
    """Let a max pooling pad what is never negative: a zero never wins but where all are zero."""
    pad = graph.producer(node.input[0], "Pad") if node.op_type == "MaxPool" else None
    if pad is None or attribute(pad, "mode", b"constant") != b"constant":
        return
    positive = graph.producer(pad.input[0], "Relu")
    pads = graph.numbers(pad, "pads", 1)
    window = attribute(node, "kernel_shape", ())
    value = graph.value(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.zeros(())
    if positive is None or pads is None or len(pad.input) > 3 or value is None or value.any():
        return
    before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    inside = all(
        0 <= p < k for p, k in zip(before[2:] + after[2:], (*window, *window), strict=True)
    )
    plain = not any(attribute(node, "pads", ())) and not attribute(node, "ceil_mode", 0)
    spread = {*attribute(node, "dilations", (1,))} != {1}
    automatic = attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    if any((*before[:2], *after[:2])) or not inside or not plain or spread or automatic:
        return
    set_attributes(node, auto_pad=None, pads=[*before[2:], *after[2:]])
    graph.set_input(node, 0, pad.input[0])


def stay_in_layout(graph: OnnxGraph, node: NodeProto) -> None:
    """Skip a chain of layout ops that ends in the shape and order it began with."""
    if node.op_type not in _LAYOUT or graph.is_pinned(node.output[0]):
        return
    wanted = graph.shapes.get(node.output[0])
    step: NodeProto | None = node
    while step is not None and wanted is not None and _keeps_order(graph, step):
        source = step.input[0]
        if graph.shapes.get(source) == wanted and wanted[1:].count(None) == 0:
            graph.redirect(node.output[0], source)
            return
        step = graph.producer(source, *_LAYOUT)


def _keeps_order(graph: OnnxGraph, node: NodeProto) -> bool:
    """Whether the numbers keep their row-major order: a Transpose may move axes of length 1."""
    if node.op_type != "Transpose":
        return True
    shape = graph.shapes.get(node.input[0], ())
    long = [axis for axis in attribute(node, "perm", ()) if shape[axis : axis + 1] != (1,)]
    return bool(shape) and long == sorted(long)

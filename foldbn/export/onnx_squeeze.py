"""Keep a Conv1D network in the rank of the images that its convolutions work on.

TensorFlow puts an axis of length 1 in before each Conv1D and takes it out after it, so that
onnxruntime leaves its blocked layout twice for each layer. What stands between two of them
computes the same with the axis in place:

    f(squeeze(x)) == squeeze(f'(x))

where f' is f with its constants and axes in the greater rank.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from foldbn.export.onnx_graph import NodeProto, OnnxGraph, Size, attribute

_UNARY = (
    *("Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"),
    *("Softplus", "Softsign", "Gelu", "Mish", "Clip", "Exp", "Erf", "Sqrt", "Abs", "Neg"),
)
_BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu")
_POOLS = ("GlobalAveragePool", "GlobalMaxPool")


def squeeze_late(proto: Any, constants: tuple[str, ...]) -> None:
    """Move each Squeeze past what follows it, and drop it where an Unsqueeze undoes it.

    Args:
        proto: an ONNX model without great weights; changed if it then has fewer nodes.
        constants: graph inputs that stand for weights.
    """
    if not any(node.op_type == "Squeeze" for node in proto.graph.node):
        return
    trial = copy.deepcopy(proto)
    graph = OnnxGraph(trial, constants)
    before = len(graph.live())
    for node in graph.live():
        _drop(graph, node)
        _flatten(graph, node)
        _swap(graph, node)
    if len(graph.live()) < before:
        graph.close()
        proto.CopyFrom(trial)


def _drop(graph: OnnxGraph, node: NodeProto) -> None:
    """Let readers of an Unsqueeze read what was squeezed along the same axes."""
    axes = _axes(graph, node) if node.op_type == "Unsqueeze" else None
    squeeze = graph.producer(node.input[0], "Squeeze") if axes else None
    if squeeze is None or _axes(graph, squeeze) != axes or graph.is_pinned(node.output[0]):
        return
    graph.redirect(node.output[0], squeeze.input[0])


def _flatten(graph: OnnxGraph, node: NodeProto) -> None:
    """Flatten what was squeezed as it was before: axes of length 1 make no difference."""
    squeeze = graph.producer(node.input[0], "Squeeze") if node.op_type == "Flatten" else None
    axes = None if squeeze is None else _axes(graph, squeeze)
    if squeeze is not None and axes and min(axes) > 0 and attribute(node, "axis", 1) == 1:
        graph.set_input(node, 0, squeeze.input[0])


def _swap(graph: OnnxGraph, node: NodeProto) -> None:
    """Put the Squeeze of what `node` reads behind it."""
    if node.op_type not in (*_UNARY, *_BINARY, *_POOLS, "Transpose"):
        return
    ports = 1 if node.op_type in (*_UNARY, *_POOLS) else len(node.input)
    found = [graph.producer(tensor, "Squeeze") for tensor in node.input[:ports]]
    squeezes = [each for each in found if each is not None]
    every = {_axes(graph, each) for each in squeezes}
    axes = every.pop() if len(every) == 1 else None
    shape = graph.shapes.get(node.output[0])
    if not axes or shape is None:
        return
    rank = len(shape) + len(axes)
    sources = [
        _in_rank(graph, tensor, squeeze, axes, rank)
        for tensor, squeeze in zip(node.input[:ports], found, strict=True)
    ]
    if any(source is None for source in sources):
        return
    if node.op_type in _POOLS and min(axes) < 2:
        return
    after = axes
    if node.op_type == "Transpose":
        order, after = _transposed(attribute(node, "perm", ()), axes)
        next(each for each in node.attribute if each.name == "perm").ints[:] = order
    for port, source in enumerate(sources):
        graph.set_input(node, port, source or "")
    output = node.output[0]
    graph.shapes[f"{output}/unsqueezed"] = _with_ones(shape, after)
    graph.set_output(node, f"{output}/unsqueezed")
    _squeeze_again(graph, squeezes[0], node.output[0], after, output)


def _squeeze_again(
    graph: OnnxGraph, like: NodeProto, source: str, axes: tuple[int, ...], output: str
) -> None:
    """Add a Squeeze in the form of another one, which keeps its axes as this opset does."""
    if len(like.input) > 1:
        listed = graph.constant(np.array(axes, np.int64), f"{output}/axes")
        graph.write("Squeeze", [source, listed], output)
    else:
        graph.write("Squeeze", [source], output, axes=axes)


def _in_rank(
    graph: OnnxGraph, tensor: str, squeeze: NodeProto | None, axes: tuple[int, ...], rank: int
) -> str | None:
    """Return an operand before its Squeeze, or a constant operand with the axes put in.

    Counted from the end, as operands are broadcast, the same axes of another rank are others.
    """
    if squeeze is not None:
        source = str(squeeze.input[0])
        return source if len(graph.shapes.get(source, ())) == rank else None
    shape = graph.shapes.get(tensor)
    if not graph.is_constant(tensor) or shape is None or None in shape:
        return None
    full = (*[1] * (rank - len(axes) - len(shape)), *shape)
    lengths = tuple(length for length in _with_ones(full, axes) if length is not None)
    return tensor if not shape else graph.reshaped(tensor, lengths)


def _transposed(order: Any, axes: tuple[int, ...]) -> tuple[list[int], tuple[int, ...]]:
    """Return the order of axes in the greater rank, and where the axes of length 1 are then.

    Each goes along with the axis after it, so that transposes which undo each other still do.
    """
    rank = len(order) + len(axes)
    others = [axis for axis in range(rank) if axis not in axes]
    whole: list[int] = []
    for axis in (others[place] for place in order):
        start = axis
        while start - 1 in axes:
            start -= 1
        whole += range(start, axis + 1)
    whole += [axis for axis in axes if axis not in whole]
    return whole, tuple(place for place, axis in enumerate(whole) if axis in axes)


def _with_ones(shape: Size, axes: tuple[int, ...]) -> Size:
    lengths = iter(shape)
    rank = len(shape) + len(axes)
    return tuple(1 if axis in axes else next(lengths) for axis in range(rank))


def _axes(graph: OnnxGraph, node: NodeProto) -> tuple[int, ...] | None:
    """Return the axes of a Squeeze or Unsqueeze, counted in the greater of its two ranks."""
    whole = graph.shapes.get(node.input[0] if node.op_type == "Squeeze" else node.output[0])
    axes = graph.numbers(node, "axes", 1)
    if whole is None or axes is None:
        return None
    return tuple(sorted(axis % len(whole) for axis in axes))

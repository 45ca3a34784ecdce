"""Maps per channel as the one node that onnxruntime has for them.

A BatchNormalization of mean 0, variance 1 and an epsilon of 0 is ``x * scale + shift``, the same
numbers: the square root of 1 is 1.
"""

from __future__ import annotations

import numpy as np

from foldbn.export.onnx_graph import NodeProto, OnnxGraph, attribute

_OF_VOLUME = 5  # rank; some have more
_FUSED_INTO_CONV = ("Clip", "LeakyRelu")  # by onnxruntime's CPU, and into nothing else


def affine_in_one(graph: OnnxGraph, node: NodeProto) -> None:
    """Write ``x * scale + shift`` per channel as one normalization.

    Where a volume has its channel last it stands between two Transposes: Mul and Add, which repeat
    their numbers along that axis, take 1.3 to 2 times as long.
    """
    multiplied = graph.producer(node.input[0], "Mul") if node.op_type == "Add" else None
    if multiplied is None or graph.reader(node.input[0], "Add") is None:
        return
    parts = [*multiplied.input, node.input[1]]
    rank = len(graph.shapes.get(node.output[0], ()))
    if _is_map(graph, node, parts):
        _normalize(graph, node, parts)
    elif rank >= _OF_VOLUME and _is_map(graph, node, parts, axis=rank - 1):
        order = (0, rank - 1, *range(1, rank - 1))
        first = graph.add("Transpose", parts[:1], f"{node.output[0]}/first", perm=order)
        shape = graph.shapes[node.output[0]]
        for tensor in (first, multiplied.output[0]):
            graph.shapes[tensor] = tuple(shape[axis] for axis in order)
        _normalize(graph, multiplied, [first, *parts[1:]])
        graph.become(node, "Transpose", multiplied.output[0], perm=(0, *range(2, rank), 1))


def shift_with_scale(graph: OnnxGraph, node: NodeProto) -> None:
    """Shift where a product is scaled instead of behind the other branch of a sum.

    ``x * scale + (y @ kernel + shift) == (x * scale + shift) + y @ kernel``, of which onnxruntime
    makes two nodes, for its Gemm adds what it multiplies to a whole matrix as well as to a bias.
    """
    if node.op_type != "Add" or len(graph.shapes.get(node.output[0], ())) != 2:
        return
    for port, other in enumerate((node.input[1], node.input[0])):
        multiplied, shifted = graph.producer(node.input[port], "Mul"), graph.producer(other, "Add")
        if (
            multiplied is None
            or shifted is None
            or graph.producer(shifted.input[0], "MatMul") is None
        ):
            continue
        alone = all(graph.reader(each, "Add") is not None for each in node.input)
        parts = [*multiplied.input, shifted.input[1]]
        if alone and _is_map(graph, node, parts):
            _normalize(graph, multiplied, parts)
            graph.set_input(node, 1 - port, shifted.input[0])
            return


def _is_map(graph: OnnxGraph, node: NodeProto, inputs: list[str], axis: int = 1) -> bool:
    """Whether ``x * scale + shift`` of `inputs` has the shape of what `node` writes, by channel."""
    x, *parts = inputs
    shape = graph.shapes.get(node.output[0], ())
    if len(shape) <= axis or shape[axis] is None or graph.shapes.get(x) != shape:
        return False
    by_channel = all(graph.shapes.get(each) in per_channel(shape, axis) for each in parts)
    constant = all(graph.is_constant(each) for each in parts)
    return by_channel and constant and node.output[0] in graph.singles


def window_of_one(graph: OnnxGraph, node: NodeProto) -> None:
    """Write a depthwise convolution that sees one place as a normalization.

    A GPU has a kernel for that, and is slow at convolutions of one channel each; in the blocked
    layout of its CPU onnxruntime makes the same convolution of both.
    """
    if node.op_type != "Conv" or len(node.input) != 3:
        return
    x, kernel = (graph.shapes.get(tensor, ()) for tensor in node.input[:2])
    groups = attribute(node, "group", 1)
    depthwise = groups > 1 and x[1:2] == kernel[:1] == (groups,)
    moves = any(attribute(node, "pads", ())) or {*attribute(node, "strides", (1,))} != {1}
    if not depthwise or set(kernel[1:]) != {1} or moves:
        return
    constant = all(graph.is_constant(tensor) for tensor in node.input[1:])
    if not constant or node.output[0] not in graph.singles:
        return
    if graph.reader(node.output[0], *_FUSED_INTO_CONV) is None:
        _normalize(graph, node, list(node.input))


def _normalize(graph: OnnxGraph, node: NodeProto, inputs: list[str]) -> None:
    """Let a node be ``x * scale + shift``, its inputs, the last of one number for each channel."""
    x, *parts = inputs
    channels = max(length or 1 for length in graph.shapes[parts[-1]])
    single = [np.zeros(channels, np.float32), np.ones(channels, np.float32)]
    weights = [graph.reshaped(each, (channels,)) for each in parts]
    weights += [
        graph.constant(each, f"{node.output[0]}/{n}")
        for n, each in zip(("mean", "variance"), single, strict=True)
    ]
    graph.become(node, "BatchNormalization", x, epsilon=0.0)
    for port, weight in enumerate(weights, 1):
        graph.set_input(node, port, weight)


def per_channel(shape: tuple[int | None, ...], axis: int = 1) -> list[tuple[int | None, ...]]:
    """Return the shapes of constants with one number for each place on an axis of `shape`."""
    own = (shape[axis], *(1 for _ in shape[axis + 1 :]))
    return [(*(1 for _ in range(ones)), *own) for ones in range(axis + 1)]

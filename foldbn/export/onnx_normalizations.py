"""Maps per channel as the one node that onnxruntime has for them.

A BatchNormalization of mean 0, variance 1 and an epsilon of 0 is ``x * scale + shift``, the same
numbers: the square root of 1 is 1.
"""

from __future__ import annotations

import numpy as np

from foldbn.export.onnx_graph import NodeProto, OnnxGraph, attribute

_FUSED_INTO_CONV = ("Clip", "LeakyRelu")  # by onnxruntime's CPU, and into nothing else


def affine_in_one(graph: OnnxGraph, node: NodeProto) -> None:
    """Write ``x * scale + shift`` per channel as one normalization."""
    multiplied = graph.producer(node.input[0], "Mul") if node.op_type == "Add" else None
    if multiplied is None or graph.reader(node.input[0], "Add") is None:
        return
    parts = [*multiplied.input, node.input[1]]
    if _is_map(graph, node, *parts):
        _normalize(graph, node, parts)


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
        if alone and _is_map(graph, node, *parts):
            _normalize(graph, multiplied, parts)
            graph.set_input(node, 1 - port, shifted.input[0])
            return


def _is_map(graph: OnnxGraph, node: NodeProto, x: str, scale: str, shift: str) -> bool:
    """Whether ``x * scale + shift`` has the shape of what `node` writes, and is one per channel."""
    shape = graph.shapes.get(node.output[0], ())
    if len(shape) < 2 or shape[1] is None or graph.shapes.get(x) != shape:
        return False
    by_channel = all(graph.shapes.get(each) in per_channel(shape) for each in (scale, shift))
    constant = graph.is_constant(scale) and graph.is_constant(shift)
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


def per_channel(shape: tuple[int | None, ...]) -> list[tuple[int | None, ...]]:
    """Return the shapes of constants with one number for each channel of ``[N, C, ...]``."""
    tail = (1,) * (len(shape) - 2)
    return [(shape[1], *tail), (1, shape[1], *tail)]

"""Tell a resizing the lengths that it is to give, where their rounded quotient tells others.

tf2onnx writes the scale m / n in float32, and a Resize of n rows is taken to give floor(n * scale).
Where the scale was rounded down, that is one less than m: of 100 rows by 64 / 100, which is
0.63999999 in float32, shapes tell of 63, and the file is no longer of one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from foldbn.export.onnx_graph import NodeProto, OnnxGraph

_BY_SCALES = ("X", "roi", "scales")
_NEAR = 1e-6  # a scale in float32 is off by less of itself


def size_resizings(proto: Any, constants: Iterable[str]) -> None:
    """Give lengths in place of scales to each Resize whose result would lack a row or column.

    Args:
        proto: an ONNX model that holds no great weights yet; it is changed.
        constants: graph inputs that stand for weights.
    """
    names, graph = tuple(constants), None
    for tensor in [node.output[0] for node in proto.graph.node if node.op_type == "Resize"]:
        graph = graph or OnnxGraph(proto, names)
        node = graph.producer(tensor, "Resize")
        sizes = [] if node is None else _sizes(graph, node)
        listed = _listed(graph, node, sizes) if sizes else None
        if node is not None and listed is not None:
            source = node.input[0]
            del node.input[:]
            node.input.extend([source, "", "", listed])
            graph.close()
            graph = None  # what comes behind it has other shapes now


def _sizes(graph: OnnxGraph, node: NodeProto) -> Sequence[int | None]:
    """Return the lengths of what a Resize is to give, none where its scales give them."""
    scales = graph.value(node.input[2]) if len(node.input) == len(_BY_SCALES) else None
    lengths = graph.shapes.get(node.input[0], ())
    if scales is None or len(lengths) != scales.size:
        return ()
    products = [float(scale) * (n or 0) for n, scale in zip(lengths, scales, strict=True)]
    wanted = [int(product * (1 + _NEAR)) for product in products]
    if wanted == [int(product) for product in products]:
        return ()
    return [None if n is None else m for n, m in zip(lengths, wanted, strict=True)]


def _listed(graph: OnnxGraph, node: NodeProto, sizes: Sequence[int | None]) -> str | None:
    """Write the lengths for a Resize, with the batch as it comes; return the tensor's name.

    The attribute `axes` of opset 18 could leave the batch out, but onnxruntime then loads no Resize
    behind a Transpose.
    """
    name, known = f"{node.output[0]}/sizes", [size for size in sizes if size is not None]
    listed = np.array(known, np.int64)
    if len(known) == len(sizes):
        return graph.constant(listed, name)
    if None in sizes[1:]:
        return None
    start, end = (graph.constant(np.array([axis], np.int64), f"{name}/{axis}") for axis in (0, 1))
    shape = graph.add("Shape", [node.input[0]], f"{name}/shape")
    batch = graph.add("Slice", [shape, start, end], f"{name}/batch")
    return graph.add("Concat", [batch, graph.constant(listed, f"{name}/others")], name, axis=0)

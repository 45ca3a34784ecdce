"""Transposed convolutions that leave gaps, for tf2onnx: it would pad them by less than nothing.

A window of k places at every s-th, with k < s, is one of s places of which the last are zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn.frontends.context import Context
from foldbn.frontends.frozen import FrozenModel, NodeDef, empty_like, node_of, numpy_type, store

_TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")


def without_gaps(model: FrozenModel) -> FrozenModel:
    """Return `model` with the kernel of each transposed convolution as long as its strides."""
    shapes = {
        node.name: [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
        for node in model.graph_def.node
        if node.op == "Const"
    }
    lacking = {
        node.name: _lacking(node, shapes[node_of(node.input[1])])
        for node in model.graph_def.node
        if node.op in _TRANSPOSED and node_of(node.input[1]) in shapes
    }
    if not any(map(any, lacking.values())):
        return model
    context, values, result = Context(model, {}), dict(model.values), empty_like(model.graph_def)
    for node in model.graph_def.node:
        copy = type(node)()
        copy.CopyFrom(node)
        margins = [(0, length) for length in lacking.get(node.name, ())]
        kernel = context.constant(node.input[1]) if np.any(margins) else None
        if kernel is not None:
            copy.input[1] = f"{node.name}/without_gaps"
            kind = numpy_type(node.attr["T"].type)
            store(result, values, copy.input[1], np.pad(kernel, margins), kind)
        result.node.append(copy)
    return replace(model, graph_def=result, values=values)


def _lacking(node: NodeDef, kernel: list[int]) -> list[int]:
    """Return how many places the window of a kernel ``[..., out, in]`` is short of its strides."""
    strides, dilations = (list(node.attr[name].list.i) for name in ("strides", "dilations"))
    first = node.attr["data_format"].s.startswith(b"NC")
    steps = strides[2:] if first else strides[1:-1]
    if any(n != 1 for n in dilations):
        return []
    return [*(max(s - k, 0) for s, k in zip(steps, kernel, strict=False)), 0, 0]

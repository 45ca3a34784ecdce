"""Write what could not be folded in the form that costs a runtime least.

A map per channel over ``[H, W, C]`` is a depthwise convolution with a window of one:

    y[h, w, c] = x[h, w, c] * scale[c] + shift[c]

onnxruntime keeps it in its blocked layout and fuses the ReLU after it; written as Mul and
Add it would reorder the layout twice. TFLite runs it as one op with its ReLU fused.
"""

from __future__ import annotations

from dataclasses import replace

from foldbn import ops
from foldbn.graph import Graph, Node
from foldbn.results import Decision


def lower(graph: Graph, node: Node, decision: Decision) -> Decision:
    """Lower a kept affine layer in `graph` where it has a cheaper form, and tell it."""
    lowered = _as_depthwise(node)
    if lowered is None:
        return decision
    graph.replace(node.name, lowered)
    return replace(
        decision,
        outcome="lowered",
        reason=f"{decision.reason}; left as one depthwise convolution with a window of one",
    )


def _as_depthwise(node: Node) -> ops.DepthwiseConv | None:
    """Return the op as a depthwise convolution, or None where it is no map per last axis."""
    if not isinstance(node.op, ops.AffineOp) or node.sample is None or len(node.sample) != 3:
        return None
    *spatial, channels = node.sample
    affine = node.op.affine.compact()
    if channels is None or affine.varies_along((0, 1)):
        return None
    scale, shift = affine.expand((1, 1, channels))
    return ops.DepthwiseConv(
        kernel=scale.reshape(1, 1, channels, 1),
        bias=shift.ravel(),
        strides=(1, 1),
        dilations=(1, 1),
        input_size=tuple(spatial),
    )

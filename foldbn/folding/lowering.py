"""Write what could not be folded in the form that costs a runtime least.

A map per channel over ``[H, W, C]`` or ``[T, C]`` is a depthwise convolution with a window
of one:

    y[h, w, c] = x[h, w, c] * scale[c] + shift[c]

TFLite runs it as one op with its ReLU fused. The ONNX export makes a BatchNormalization node of
it, which onnxruntime's CPU runs as that convolution, in its blocked layout and with its ReLU
fused; written as Mul and Add it would reorder the layout twice.

A map over ``[C]``, or one that is the same everywhere, leaves an addition where its scale can go
on without its shift. What is left of it otherwise is written as Mul and Add: with one number each
and few channels they cost less than a convolution, and over ``[C]`` the ONNX export makes one
node of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.folding.travel import Stuck, affine_of, travel_forward
from foldbn.graph import Graph, Node
from foldbn.ops import Size
from foldbn.results import Decision

_GREATEST = float(np.finfo(np.float16).max)  # every type that a weight is stored in holds it
_FEW = 16  # channels; below, a convolution costs more than two ops with one number each
_ADDITION = "one addition, its scale moved on"
_SPATIAL_RANKS = (2, 3)  # of the samples that Conv1D and Conv2D work on


def lower(graph: Graph, node: Node, decision: Decision) -> Decision:
    """Give a kept affine layer its cheapest form in `graph`, and tell it.

    A scale alone or a shift alone is one op already.
    """
    affine = affine_of(node)
    if not (affine.has_scale and affine.has_shift):
        return _lowered(decision, f"one {'multiplication' if affine.has_scale else 'addition'}")
    uniform = max(affine.compact().shape, default=1) == 1
    if uniform and _send_scale_on(graph, node, affine):
        return _lowered(decision, _ADDITION)
    depthwise = _as_depthwise(affine, node.sample)
    if depthwise is not None and not (uniform and depthwise.kernel.shape[-2] < _FEW):
        graph.replace(node.name, depthwise)
        return _lowered(decision, "one depthwise convolution or normalization")
    if _send_scale_on(graph, node, affine):
        return _lowered(decision, _ADDITION)
    return decision


def _send_scale_on(graph: Graph, node: Node, affine: Affine) -> bool:
    """Leave only an addition, where the scale can move forward without the shift.

    ``s * x + t == s * (x + t / s)`` for s > 0, and a positive scale passes ReLU and padding.
    The sum is rounded relative to t / s before it is multiplied by s, so no digit is lost.
    """
    scale, shift = affine.parts
    if (scale <= 0).any() or (np.abs(shift) > scale * _GREATEST).any():
        return False
    alone = ops.AffineOp(Affine(scale, np.zeros_like(scale)))
    journey = travel_forward(graph, replace(node, op=alone))
    if isinstance(journey, Stuck):
        return False
    for name, op in journey.edits.items():
        graph.replace(name, op)
    graph.replace(node.name, ops.AffineOp(Affine(np.ones_like(scale), shift / scale)))
    return True


def _lowered(decision: Decision, form: str) -> Decision:
    return replace(decision, outcome="lowered", reason=f"{decision.reason}; left as {form}")


def _as_depthwise(affine: Affine, sample: Size | None) -> ops.DepthwiseConv | None:
    """Return a map as a depthwise convolution, or None where it is no map per last axis."""
    if sample is None or len(sample) not in _SPATIAL_RANKS:
        return None
    *spatial, channels = sample
    ones = (1,) * len(spatial)
    if channels is None or affine.compact().varies_along(tuple(range(len(spatial)))):
        return None
    scale, shift = affine.compact().expand((*ones, channels))
    return ops.DepthwiseConv(
        kernel=scale.reshape(*ones, channels, 1),
        bias=shift.ravel(),
        strides=ones,
        dilations=ones,
        input_size=tuple(spatial),
    )

"""Write what could not be folded in the form that costs a runtime least.

A map per channel over ``[H, W, C]`` or ``[T, C]`` is a depthwise convolution with a window
of one:

    y[h, w, c] = x[h, w, c] * scale[c] + shift[c]

TFLite runs it as one op with its ReLU fused. The ONNX export makes a BatchNormalization node of
it, which onnxruntime's CPU runs as that convolution, in its blocked layout and with its ReLU
fused; written as Mul and Add it would reorder the layout twice.

A map over ``[C]``, or one that is the same everywhere, leaves an addition where its scale can go
on, or back into weights, without its shift. After a sum of which one branch ends in weights it
leaves a multiplication of the other branch, and the sum takes the ReLU:

    s * (a + b) + t == s * a + (s * b + t)

What is left of it otherwise is written as Mul and Add: with one number each and few channels they
cost less than a convolution, and of others the exports make one op: in ONNX a normalization, in
TFLite a convolution.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.folding.sharing import too_dear
from foldbn.folding.travel import Journey, Stuck, affine_of, travel_backward, travel_forward
from foldbn.graph import Graph, Node
from foldbn.ops import Size
from foldbn.results import Decision

_GREATEST = float(np.finfo(np.float16).max)  # every type that a weight is stored in holds it
_FEW = 16  # channels; below, a convolution costs more than two ops with one number each
_SPATIAL_RANKS = (2, 3)  # of the samples that Conv1D and Conv2D work on


def lower(graph: Graph, node: Node, decision: Decision) -> Decision:
    """Give a kept affine layer its cheapest form in `graph`, and tell it.

    A scale alone or a shift alone is one op already.
    """
    affine = affine_of(node)
    if not (affine.has_scale and affine.has_shift):
        return _lowered(decision, f"one {'multiplication' if affine.has_scale else 'addition'}")
    addition = (_send_scale_on, "one addition, its scale moved on")
    forms = [
        (_as_depthwise, "one depthwise convolution or normalization"),
        addition,
        (_send_scale_back, "one addition, its scale moved back"),
        (_scale_one_branch, "one multiplication or normalization of one branch of the sum before"),
        (_as_vector, "one depthwise convolution or normalization"),
    ]
    if _is_uniform(affine):
        forms.insert(0, addition)
    written = (form for write, form in forms if write(graph, node, affine))
    form = next(written, None)
    return decision if form is None else _lowered(decision, form)


def _is_uniform(affine: Affine) -> bool:
    return max(affine.compact().shape, default=1) == 1


def _as_depthwise(graph: Graph, node: Node, affine: Affine) -> bool:
    """Write a map per channel of a feature map as a depthwise convolution."""
    vector = _per_channel(affine, node.sample or ())
    if vector is None or vector.rank not in _SPATIAL_RANKS:
        return False
    ones = (1,) * (vector.rank - 1)
    convolution = ops.DepthwiseConv(
        kernel=vector.scale.reshape(*vector.shape, 1),
        bias=vector.shift.ravel(),
        strides=ones,
        dilations=ones,
        input_size=(node.sample or ())[:-1],
    )
    graph.replace(node.name, convolution)
    return True


def _as_vector(graph: Graph, node: Node, affine: Affine) -> bool:
    """Write a map per channel of a vector or a volume as two ops that an export knows for one."""
    vector = _per_channel(affine, node.sample or ())
    if vector is None or vector.rank in _SPATIAL_RANKS:
        return False
    graph.replace(node.name, ops.AffineOp(vector))
    return True


def _per_channel(affine: Affine, sample: Size) -> Affine | None:
    """Return a map with one number for each channel, the last axis; None where it is no such map.

    Where it has one number for all, a few channels in many places are none either.
    """
    channels = sample[-1] if sample else None
    places = tuple(range(len(sample) - 1))
    if channels is None or affine.compact().varies_along(places):
        return None
    if places and _is_uniform(affine) and channels < _FEW:
        return None
    return Affine(*affine.compact().expand((*(1 for _ in places), channels)))


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


def _send_scale_back(graph: Graph, node: Node, affine: Affine) -> bool:
    """Leave only an addition, where the scale can move back into weights without the shift.

    A product takes any scale, and what ReLU gives out any that is positive.
    """
    scale, shift = affine.parts
    alone = replace(node, op=ops.AffineOp(Affine(scale, np.zeros_like(scale))))
    journey = travel_backward(graph, alone)
    if isinstance(journey, Stuck) or not _ends_in_weights(graph, node, journey):
        return False
    for name, op in journey.edits.items():
        graph.replace(name, op)
    graph.replace(node.name, ops.AffineOp(Affine(np.ones_like(scale), shift)))
    return True


def _scale_one_branch(graph: Graph, node: Node, affine: Affine) -> bool:
    """Leave only a multiplication of one branch of a sum, where the other takes the map.

    The map would have gone back past the sum if both branches took it.
    """
    total = graph.producer(node.inputs[0])
    if total is None or not isinstance(total.op, ops.Add):
        return False
    if not _is_only_read_by(graph, total, node):
        return False
    shifts = (affine.shift, -affine.shift if total.op.subtracts else affine.shift)
    for taken, left in ((0, 1), (1, 0)):
        trial = graph.copy()
        trial.swap(total.name, node.name, port=taken)
        trial.replace(node.name, ops.AffineOp(Affine(affine.scale, shifts[taken])))
        journey = travel_backward(trial, trial[node.name])
        if isinstance(journey, Journey) and _ends_in_weights(graph, node, journey):
            for name, op in journey.edits.items():
                graph.replace(name, op)
            graph.swap(total.name, node.name, port=left)
            alone = Affine(affine.scale, np.zeros_like(affine.scale))
            graph.replace(node.name, ops.AffineOp(alone))
            return True
    return False


def _is_only_read_by(graph: Graph, total: Node, node: Node) -> bool:
    """Whether the model returns neither, and `total` has two inputs.

    One tensor at both is no case apart: the second place would want the inverse, and takes none.
    """
    returned = graph.is_output(total.output) or graph.is_output(node.output)
    return len(total.inputs) == 2 and not returned and len(graph.readers(total.output)) == 1


def _ends_in_weights(graph: Graph, node: Node, journey: Journey) -> bool:
    """Whether all of a map goes into weights that may change, and none into another map."""
    merges = any(isinstance(graph[name].op, ops.AffineOp) for name in journey.absorbed)
    return not merges and not too_dear(graph, node, journey)


def _lowered(decision: Decision, form: str) -> Decision:
    return replace(decision, outcome="lowered", reason=f"{decision.reason}; left as {form}")

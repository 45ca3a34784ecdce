"""Ops that change places with a map: ``A o f == f o A``, so one rule serves both ways.

Two neighbours are affine maps themselves, a constant bias and another affine layer:
maps compose with them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules.table import Absorbs, Blocks, Outcome, Passes, backward, forward


@forward.rule(ops.Commuting)
@backward.rule(ops.Commuting)
def commuting(op: ops.Commuting, affine: Affine) -> Outcome:
    """Let by, as they are, the maps that `op` declares it commutes with."""
    if op.scales == "nonnegative" and (least := float(affine.scale.min())) < 0:
        return Blocks(f"{op.title} lets only scales >= 0 by, and the least is {least:.3g}")
    if affine.has_shift and not op.shifts:
        return Blocks(f"{op.title} lets no shift by")
    if affine.varies_along(op.uniform_axes):
        return Blocks(f"{op.title} mixes positions whose scale or shift differ")
    return Passes(op, (affine,))


@forward.rule(ops.ShapeOf)
def shape_of_forward(op: ops.ShapeOf, _: Affine) -> Outcome:
    """Take any map in: the shape of ``A(x)`` is the shape of x."""
    return Absorbs(op)


@backward.rule(ops.AffineOp)
def affine_backward(op: ops.AffineOp, affine: Affine) -> Outcome:
    """Compose: ``A o B`` is one affine map."""
    return Absorbs(ops.AffineOp(affine.after(op.affine)))


@forward.rule(ops.AffineOp)
def affine_forward(op: ops.AffineOp, affine: Affine) -> Outcome:
    """Compose: ``B o A`` is one affine map."""
    return Absorbs(ops.AffineOp(op.affine.after(affine)))


@backward.rule(ops.Bias)
def bias_backward(op: ops.Bias, affine: Affine) -> Outcome:
    """Take the bias along: ``s * (x + b) + t == (s * x + (s * b + t)) + 0``."""
    if not affine.has_scale:
        return Absorbs(replace(op, bias=op.bias + affine.shift))
    taken = affine.after(Affine(np.ones_like(op.bias), op.bias))
    return Passes(replace(op, bias=np.zeros_like(op.bias)), (taken,))


@forward.rule(ops.Bias)
def bias_forward(op: ops.Bias, affine: Affine) -> Outcome:
    """Keep the shift, let the scale and the bias go on: ``(s * x + t) + b``."""
    if not affine.has_scale:
        return Absorbs(replace(op, bias=op.bias + affine.shift))
    taken = Affine(affine.scale, affine.shift + op.bias)
    return Passes(replace(op, bias=np.zeros_like(op.bias)), (taken,))

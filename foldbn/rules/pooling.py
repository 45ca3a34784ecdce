"""Ops over whole axes of a sample: mean, maximum, minimum and sum.

mean(s * x + t) == s * mean(x) + t         sum(s * x + t) == s * sum(x) + n * t
"""

from __future__ import annotations

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules.table import Blocks, Outcome, Passes, backward, forward


@forward.rule(ops.GlobalPool)
def global_pool_forward(op: ops.GlobalPool, affine: Affine) -> Outcome:
    """Drop the pooled axes; a sum has the shift as often as it has numbers."""
    if affine.varies_along(op.axes):
        return Blocks(f"{op.title} mixes positions whose scale or shift differ")
    if (blocked := _negative(op, affine)) is not None:
        return blocked
    moved = Affine(affine.scale, affine.shift * op.count)
    if not op.keepdims:
        moved = Affine(*(np.squeeze(part, op.axes) for part in moved.parts))
    return Passes(op, (moved,))


@backward.rule(ops.GlobalPool)
def global_pool_backward(op: ops.GlobalPool, affine: Affine) -> Outcome:
    """Spread the map over the pooled axes; each number of a sum gets its part of the shift."""
    if (blocked := _negative(op, affine)) is not None:
        return blocked
    moved = Affine(affine.scale, affine.shift / op.count)
    if not op.keepdims:
        moved = Affine(*(np.expand_dims(part, op.axes) for part in moved.parts))
    return Passes(op, (moved,))


def _negative(op: ops.GlobalPool, affine: Affine) -> Blocks | None:
    least = float(affine.scale.min())
    if op.kind in ("max", "min") and least < 0:
        return Blocks(f"{op.title} lets only scales >= 0 by, and the least is {least:.3g}")
    return None

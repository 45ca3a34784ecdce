"""Ops of several inputs.

Add       s * (x + y) + t  ==  (s * x + t) + s * y
Concat    each input has its own slice of the map
"""

from __future__ import annotations

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules.table import Blocks, Maps, Outcome, Passes, backward, forward


@backward.rule(ops.Add)
def add_backward(op: ops.Add, affine: Affine) -> Outcome:
    """Scale every input and shift the first: ``s * (x + y) + t == (s * x + t) + s * y``."""
    scaled = Affine(affine.scale, np.zeros_like(affine.scale)) if affine.has_scale else None
    return Passes(op, (affine, *[scaled] * (op.arity - 1)))


@forward.join(ops.Add)
def add_forward(op: ops.Add, maps: Maps) -> Outcome:
    """Let by what the inputs share: ``(s * x + t) + (s * y + u) == s * (x + y) + (t + u)``."""
    first = next(each for each in maps if each is not None)
    plain = Affine(np.ones_like(first.scale), np.zeros_like(first.scale))
    each = [plain if one is None else one for one in maps]
    if any((each[0].scale != one.scale).any() for one in each):
        return Blocks("Add joins a branch that is not scaled alike")
    shift: Array = sum((one.shift for one in each), np.zeros_like(first.shift))
    return Passes(op, (Affine(each[0].scale, shift),))


@backward.rule(ops.Concat)
def concat_backward(op: ops.Concat, affine: Affine) -> Outcome:
    """Give each input the slice of the map that acts on its part."""
    slices = [_split(part, op) for part in affine.parts]
    return Passes(op, tuple(Affine(*pair).compact() for pair in zip(*slices, strict=True)))


@forward.join(ops.Concat)
def concat_forward(op: ops.Concat, maps: Maps) -> Outcome:
    """Join the maps; an input without one has the identity."""
    rank = next(each.rank for each in maps if each is not None)
    plain = Affine(np.ones((1,) * rank), np.zeros((1,) * rank))
    each = [plain if one is None else one for one in maps]
    joined = Affine(_glue([a.scale for a in each], op), _glue([a.shift for a in each], op))
    return Passes(op, (joined.compact(),))


def _split(part: Array, op: ops.Concat) -> list[Array]:
    if part.shape[op.axis] == 1:
        return [part] * len(op.sizes)
    return np.split(part, np.cumsum(op.sizes)[:-1], axis=op.axis)


def _glue(parts: list[Array], op: ops.Concat) -> Array:
    common = list(np.broadcast_shapes(*(np.take(p, [0], axis=op.axis).shape for p in parts)))
    wide = []
    for part, size in zip(parts, op.sizes, strict=True):
        common[op.axis] = size
        wide.append(np.broadcast_to(part, common))
    return np.concatenate(wide, axis=op.axis)

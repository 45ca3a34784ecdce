"""Ops of several inputs.

Add       s * (x + y) + t  ==  (s * x + t) + s * y
Multiply  s * (x * y)      ==  (s * x) * y
Maximum   s * max(x, y) + t  ==  max(s * x + t, s * y + t)   for s >= 0
Concat    each input has its own slice of the map; likewise Stack
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
    each = _filled(maps)
    if any((each[0].scale != one.scale).any() for one in each):
        return Blocks(f"{op.title} joins a branch that is not scaled alike")
    sign = -1 if op.subtracts else 1
    shift: Array = sum((sign * one.shift for one in each[1:]), each[0].shift)
    return Passes(op, (Affine(each[0].scale, shift),))


@backward.rule(ops.Multiply)
def multiply_backward(op: ops.Multiply, affine: Affine) -> Outcome:
    """Scale one input: the one the op names."""
    if affine.has_shift:
        return Blocks("Multiply lets no shift by")
    scale = affine.compact().scale
    lengths = op.samples[op.into]
    if any(n != 1 and own == 1 for n, own in zip(scale.shape, lengths, strict=True)):
        return Blocks("Multiply repeats a branch along an axis where the scale varies")
    moved = Affine(scale, np.zeros_like(scale))
    return Passes(op, (moved, None) if op.into == 0 else (None, moved))


@forward.join(ops.Multiply)
def multiply_forward(op: ops.Multiply, maps: Maps) -> Outcome:
    """Multiply the scales: ``(s * x) * (u * y) == (s * u) * (x * y)``."""
    each = _filled(maps)
    if any(one.has_shift for one in each):
        return Blocks("Multiply lets no shift by")
    return Passes(op, (Affine(each[0].scale * each[1].scale, np.zeros_like(each[0].shift)),))


@backward.rule(ops.Extremum)
def extremum_backward(op: ops.Extremum, affine: Affine) -> Outcome:
    """Map both inputs alike; a negative scale would turn the greater into the smaller."""
    blocked = _turning(op, affine)
    return Passes(op, (affine, affine)) if blocked is None else blocked


@forward.join(ops.Extremum)
def extremum_forward(op: ops.Extremum, maps: Maps) -> Outcome:
    """Let by a map that both inputs have."""
    first, second = _filled(maps)
    if not first.equals(second):
        return Blocks(f"{op.title} compares a branch that has not the same map")
    blocked = _turning(op, first)
    return Passes(op, (first,)) if blocked is None else blocked


def _turning(op: ops.Extremum, affine: Affine) -> Blocks | None:
    least = float(affine.scale.min())
    if least < 0:
        return Blocks(f"{op.title} lets only scales >= 0 by, and the least is {least:.3g}")
    return None


def _filled(maps: Maps) -> list[Affine]:
    """Return a map for each input: the identity where there is none."""
    rank = next(each.rank for each in maps if each is not None)
    plain = Affine(np.ones((1,) * rank), np.zeros((1,) * rank))
    return [plain if one is None else one for one in maps]


@backward.rule(ops.Concat)
def concat_backward(op: ops.Concat, affine: Affine) -> Outcome:
    """Give each input the slice of the map that acts on its part."""
    slices = [_split(part, op) for part in affine.parts]
    return Passes(op, tuple(Affine(*pair).compact() for pair in zip(*slices, strict=True)))


@forward.join(ops.Concat)
def concat_forward(op: ops.Concat, maps: Maps) -> Outcome:
    """Join the maps; an input without one has the identity."""
    each = _filled(maps)
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


@backward.rule(ops.Stack)
def stack_backward(op: ops.Stack, affine: Affine) -> Outcome:
    """Give each input its row of the map."""
    rows = tuple(
        Affine(*(_row(part, op.axis, number) for part in affine.parts)).compact()
        for number in range(op.arity)
    )
    return Passes(op, rows)


def _row(part: Array, axis: int, number: int) -> Array:
    return part.take([number % part.shape[axis]], axis=axis).squeeze(axis)


@forward.join(ops.Stack)
def stack_forward(op: ops.Stack, maps: Maps) -> Outcome:
    """Stack the maps; an input without one has the identity."""
    each = _filled(maps)
    stacked = [
        np.stack(np.broadcast_arrays(*parts), axis=op.axis)
        for parts in zip(*(one.parts for one in each), strict=True)
    ]
    return Passes(op, (Affine(*stacked).compact(),))

"""Examples of recurrences, lookups and products over labelled axes."""

from __future__ import annotations

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules import Absorbs, Blocks, Passes
from tests.rules.cases.expecting import Case, Expectation, Maps, absorbs, blocks, normal, varies


def rows_alike(maps: Maps) -> type:
    """Expect a map to go in that is the same for every index."""
    return Blocks if varies(maps[0], (0,)) else Absorbs


def einsum(
    label: str, equation: str, shape: tuple[int, ...], *more: int, bias: bool = False
) -> Case:
    """A product over labelled axes; `more` are the lengths of the labels that the sample lacks."""
    data, own, result = equation.replace("->", ",").split(",")
    new = dict.fromkeys(each for each in own if each not in data)
    lengths = dict(zip([*data, *new], [*shape, *more], strict=True))
    kernel, offset = (normal(*(lengths[each] for each in labels)) for labels in (own, result))
    op = ops.Einsum(kernel, (data, own, result), offset if bias else None)

    def along(labels: str) -> Expectation:
        def expectation(maps: Maps) -> type:
            varying = [each for axis, each in enumerate(labels) if scale_varies(maps[0], axis)]
            outside = [each for each in varying if each not in own]
            if not outside:
                return Absorbs
            return Passes if outside == varying else Blocks

        return expectation

    return Case(f"Einsum {label}", op, (shape,), along(result), along(data))


def scale_varies(affine: Affine, axis: int) -> bool:
    """Whether a scale has two numbers along an axis."""
    return bool(np.diff(affine.scale, axis=axis).any())


def channels_only(maps: Maps) -> type:
    """Expect a map per channel to go in, if nothing comes with the state."""
    alone = maps[0] is not None and all(each is None for each in maps[1:])
    return Absorbs if alone and not varies(maps[0], (0,)) else Blocks


def unshifted_channels(maps: Maps) -> type:
    """Expect a scale per channel to go in."""
    return Blocks if maps[0].shift.any() else channels_only(maps)


MORE_LINEAR = [
    Case(
        "Recurrence",
        ops.Recurrence("While", kernel=normal(3, 4), bias=normal(4)),
        ((5, 3),),
        blocks,
        channels_only,
    ),
    Case(
        "Recurrence without bias",
        ops.Recurrence("While", kernel=normal(3, 4)),
        ((5, 3),),
        blocks,
        unshifted_channels,
    ),
    Case(
        "Recurrence with a state",
        ops.Recurrence("While", kernel=normal(3, 4), bias=normal(4)),
        ((5, 3), (4,)),
        blocks,
        channels_only,
    ),
    Case("Embedding", ops.Embedding(normal(5, 3), 2), ((4,),), absorbs(1), blocks),
    Case("Embedding of matrices", ops.Embedding(normal(5, 2, 3), 3), ((4,),), rows_alike, blocks),
    einsum("left product", "ab,ca->cb", (4, 3), 5),
    einsum("left product with bias", "ab,ca->cb", (4, 3), 5, bias=True),
    einsum("per head", "abc,bcd->abd", (2, 3, 4), 5, bias=True),
    einsum("new axes", "ab,bcd->acd", (4, 3), 2, 5),
    einsum("no sum", "ab,b->ab", (4, 3)),
    einsum("all summed", "ab,abc->c", (4, 3), 2),
    einsum("all summed, kernel turned", "ab,cba->c", (4, 3), 2),
]

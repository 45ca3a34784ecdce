"""Examples of ops of several inputs."""

from __future__ import annotations

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules import Blocks, Passes
from tests.rules.cases.expecting import Case, Expectation, Maps, alike, both, passes, varies


def unshifted(maps: Maps) -> type:
    """Expect scales to pass, and no shift."""
    return Blocks if any(each is not None and each.shift.any() for each in maps) else Passes


def unrepeated(maps: Maps) -> type:
    """Expect a scale to pass into `[1, 3]` if it is the same for all rows."""
    return Blocks if maps[0].shift.any() or varies(maps[0], (0,)) else Passes


def same_and_rising(maps: Maps) -> type:
    """Expect a map to pass that both inputs have, if no scale is negative."""
    one = Affine(np.ones((1, 1)), np.zeros((1, 1)))
    first, second = (one if each is None else each for each in maps)
    same = (first.scale == second.scale).all() and (first.shift == second.shift).all()
    return Passes if same and (first.scale >= 0).all() else Blocks


def product(into: int, *shapes: tuple[int, ...], backward: Expectation = unshifted) -> Case:
    """A product of two inputs, the scale going back into one of them."""
    return Case(
        f"Multiply {shapes} {into}", ops.Multiply(shapes, into), shapes, backward, unshifted
    )


JOINING = [
    product(0, (4, 3), (4, 3)),
    product(1, (4, 3), (4, 3)),
    product(0, (4, 3), (1, 3)),
    product(1, (4, 3), (1, 3), backward=unrepeated),
    Case("Subtract", ops.Add(2, subtracts=True), ((2, 3), (2, 3)), both, alike),
    *(
        Case(
            name,
            ops.Extremum(name),
            ((4, 3), (4, 3)),
            passes(negative=False),
            same_and_rising,
        )
        for name in ("Maximum", "Minimum")
    ),
    Case("Add", ops.Add(), ((2, 3), (2, 3)), both, alike),
    Case("Add of three", ops.Add(3), ((3,),) * 3, both, alike),
    Case("Concat channels", ops.Concat(1, (3, 2)), ((4, 3), (4, 2)), both, both),
    Case("Concat rows", ops.Concat(0, (1, 4)), ((1, 3), (4, 3)), both, both),
    Case("Stack in front", ops.Stack(0, 3), ((2, 3),) * 3, both, both),
    Case("Stack last", ops.Stack(2, 2), ((2, 3),) * 2, both, both),
    Case("Stack vectors", ops.Stack(1, 2), ((3,),) * 2, both, both),
    Case("Concat of three", ops.Concat(0, (2, 1, 3)), ((2,), (1,), (3,)), both, both),
]

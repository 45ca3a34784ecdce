"""Examples of ops that a map commutes with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from foldbn import ops
from foldbn.affine import Array
from tests import windows
from tests.rules.cases.expecting import Case, passes


def commuting(op: ops.Commuting, shape: tuple[int, ...], **allowed: object) -> Case:
    """An op that lets the same maps by both ways."""
    batch = 8 if op.name == "BatchToSpace" else 2
    label = f"{op.name} over axes {op.uniform_axes} of {shape}"
    return Case(label, op, (shape,), passes(**allowed), passes(**allowed), batch=batch)


relu = partial(commuting, negative=False, shifts=False)


def window(reduce: Callable[..., Array], op: ops.Commuting, **numbers: object) -> Case:
    """Pooling over axes 0 and 1 with another window than the default."""
    allowed = passes(negative=reduce is np.mean, even=(0, 1))

    def run(_: ops.Op, x: Array) -> Array:
        return windows.pool(x, reduce, (0, 1), **numbers)

    return Case(f"{op.name} {numbers}", op, ((5, 4, 3),), allowed, allowed, run)


COMMUTING = [
    commuting(ops.identity(), (3, 2)),
    relu(ops.relu(), (4, 3)),
    relu(ops.relu("LeakyReLU"), (2, 3, 2)),
    relu(ops.relu("PReLU"), (3, 4)),
    relu(ops.relu("Abs"), (3, 4)),
    commuting(ops.resize((0, 1), "bilinear resizing"), (3, 2, 3), even=(0, 1)),
    commuting(ops.max_pool((0, 1)), (5, 4, 3), negative=False, even=(0, 1)),
    commuting(ops.max_pool((1,)), (3, 5), negative=False, even=(1,)),
    window(np.max, ops.max_pool((0, 1)), window=2, stride=2, padding="valid"),
    commuting(ops.average_pool((0, 1)), (5, 4, 3), even=(0, 1)),
    commuting(ops.average_pool((1, 2)), (3, 4, 5), even=(1, 2)),
    window(np.mean, ops.average_pool((0, 1)), window=2, stride=1, padding="same"),
    commuting(ops.zero_pad((0, 1)), (3, 2, 3), shifts=False, even=(0, 1)),
    commuting(ops.zero_pad((1,)), (3, 4), shifts=False, even=(1,)),
    commuting(ops.space_to_batch((0, 1), padded=False), (4, 6, 3), even=(0, 1)),
    commuting(ops.space_to_batch((0,), padded=True), (5, 3), shifts=False, even=(0,)),
    commuting(ops.batch_to_space((0, 1)), (2, 3, 2), even=(0, 1)),
]

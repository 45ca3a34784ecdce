"""Examples of ops that pool, move or choose positions."""

from __future__ import annotations

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules import Blocks, Passes
from tests.rules.cases.expecting import Case, Expectation, Maps, both, passes, varies

even_first = passes(even=(0,))


def pooled(kind: str, axes: tuple[int, ...], *, keepdims: bool) -> Case:
    """A mean, maximum, minimum or sum over whole axes of `[4, 3, 2]`."""
    count = int(np.prod([(4, 3, 2)[axis] for axis in axes])) if kind == "sum" else 1
    op = ops.GlobalPool(kind, axes, keepdims, count)
    mean = kind in ("mean", "sum")
    label = f"GlobalPool {kind} {axes} {keepdims}"
    where = (passes(negative=mean), passes(negative=mean, even=axes))
    return Case(label, op, ((4, 3, 2),), *where)


def reshape(
    source: tuple[int, ...], target: tuple[int, ...], backward: Expectation, forward: Expectation
) -> Case:
    """A reshape of a batch of twelve."""
    op = ops.Reshape(source, target)
    return Case(f"Reshape {source} to {target}", op, (source,), backward, forward, batch=12)


def open_reshape(
    sizes: tuple[ops.Size, ops.Size],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    backward: Expectation,
    forward: Expectation,
) -> Case:
    """A reshape whose lengths of None are those of `shapes` this time."""
    (source, target), (shape, result) = sizes, shapes
    label, op = f"Reshape {source} to {target}", ops.Reshape(source, target)
    run = lambda _, x: x.reshape(-1, *result)  # noqa: E731
    return Case(label, op, (shape,), backward, forward, run, batch=12)


def moved(op: ops.Op, shape: tuple[int, ...]) -> Case:
    """An op that only renames axes."""
    return Case(f"{op} of {shape}", op, (shape,), both, both)


def open_halves_alike(maps: Maps) -> type:
    """Expect a map over `[None, 6]` to pass if it is even over rows, and its halves are equal."""
    (affine,) = maps
    rows = [np.broadcast_to(part, (4, 6)) for part in affine.parts]
    alike = all((row[:, :3] == row[:, 3:]).all() for row in rows)
    return Passes if alike and not varies(affine, (0,)) else Blocks


def turned(permutation: tuple[int, ...], forward: Expectation) -> Case:
    """A transposition that lets another axis of `[N, 4, 3]` lead."""
    op = ops.BatchTranspose(permutation)
    return Case(f"BatchTranspose {permutation}", op, ((4, 3),), even_first, forward)


REINDEXING = [
    *(pooled(kind, (0, 1), keepdims=keep) for kind in ("mean", "max") for keep in (True, False)),
    pooled("mean", (1, 2), keepdims=False),
    pooled("max", (2,), keepdims=True),
    pooled("min", (0, 1), keepdims=False),
    pooled("sum", (0, 1), keepdims=False),
    pooled("sum", (1,), keepdims=True),
    reshape((2, 3, 4), (24,), both, both),
    reshape((24,), (2, 3, 4), both, both),
    reshape((2, 6), (3, 4), both, both),
    reshape((2, 3, 4), (4,), both, passes(even=(0, 1))),
    reshape((4, 3), (2, 3), both, lambda maps: halves_alike(maps[0])),
    reshape((3,), (2, 3), passes(even=(0,)), both),
    reshape((3,), (4, 1, 3), passes(even=(0,)), both),
    open_reshape(((None, 3), (3,)), ((5, 3), (3,)), both, even_first),
    open_reshape(((3,), (None, 3)), ((3,), (4, 3)), even_first, both),
    open_reshape(
        ((4, None, 2, 3), (None, 6)), ((4, 5, 2, 3), (10, 6)), even_first, passes(even=(0, 1))
    ),
    open_reshape(((None, 6), (None, 3)), ((4, 6), (8, 3)), even_first, open_halves_alike),
    open_reshape(((3, None), (None,)), ((3, 4), (6,)), even_first, passes(even=(0, 1))),
    turned((1, 0, 2), passes(even=(0,))),
    turned((2, 0, 1), passes(even=(1,))),
    moved(ops.Squeeze((0,)), (1, 4, 3)),
    moved(ops.Squeeze((0, 2)), (1, 3, 1, 2)),
    moved(ops.ExpandDims((0,)), (4, 3)),
    moved(ops.ExpandDims((1, 3)), (4, 3)),
    moved(ops.Transpose((2, 0, 1)), (4, 3, 2)),
    moved(ops.Transpose((1, 0)), (4, 3)),
]


def halves_alike(affine: Affine) -> type:
    """Expect a map over `[4, 3]` to pass if its first two rows equal its last two."""
    rows = [np.broadcast_to(part, (4, 3)) for part in affine.parts]
    return Passes if all((row[:2] == row[2:]).all() for row in rows) else Blocks


def select(
    label: str,
    shape: tuple[int, ...],
    indices: tuple[tuple[int, ...] | None, ...],
    dropped: tuple[int, ...] = (),
) -> Case:
    """A choice of positions: any map goes on, and back unless readers of one position differ."""
    op = ops.Select(label, indices, shape, dropped)
    left = [indices[axis] for axis in range(len(shape)) if axis not in dropped]

    def agreed(maps: Maps) -> type:
        for part in maps[0].parts:
            for axis, taken in enumerate(left):
                pairs = [] if taken is None or part.shape[axis] == 1 else list(enumerate(taken))
                for j, i in pairs:
                    for other, same in pairs:
                        if i == same and (part.take(j, axis) != part.take(other, axis)).any():
                            return Blocks
        return Passes

    return Case(f"Select {label}", op, (shape,), agreed, both)


def groups_alike(maps: Maps) -> type:
    """Expect a map that is even over `[H, W]` and the same for three groups of four channels."""
    (affine,) = maps
    if varies(affine, (0, 1)):
        return Blocks
    groups = [np.broadcast_to(part[0, 0], 12).reshape(4, 3) for part in affine.parts]
    return Blocks if any((group != group[0]).any() for group in groups) else Passes


SELECTING = [
    select("cropping", (4, 5, 3), ((1, 2), (0, 1, 2), None)),
    select("slice of channels", (4, 3), (None, (0, 2))),
    select("reversing", (4, 3), ((3, 2, 1, 0), None)),
    select("tiling", (4, 3), ((0, 1, 2, 3, 0, 1, 2, 3), None)),
    select("mirroring", (4, 3), ((2, 1, 0, 1, 2, 3, 2), None)),
    select("last step", (4, 3), ((3,), None), (0,)),
    select("one of two axes", (4, 2, 3), ((1,), (0, 1, 1), None), (0,)),
    Case("SpaceToDepth", ops.SpaceToDepth(2), ((4, 4, 3),), groups_alike, passes(even=(0, 1))),
    Case(
        "DepthToSpace",
        ops.SpaceToDepth(2, inverse=True),
        ((2, 2, 12),),
        passes(even=(0, 1)),
        groups_alike,
    ),
]

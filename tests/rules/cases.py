"""One example of every op, and which maps mathematics lets into it or past it.

The expectations are written by hand for each example. They look at the numbers of a map, not
at how the rules decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules import Absorbs, Blocks, Passes
from tests import reference

Maps = Sequence[Affine | None]
Expectation = Callable[[Maps], type]
rng = np.random.default_rng(0)


@dataclass(frozen=True, eq=False)
class Case:
    """An op, the shape of one sample at each port, and the outcome of both directions.

    Attributes:
        run: evaluates the op, where its numbers are not in it.
        batch: length of the batch axis.
    """

    label: str
    op: ops.Op
    shapes: tuple[tuple[int, ...], ...]
    backward: Expectation
    forward: Expectation
    run: Callable[..., Array] = reference.apply
    batch: int = 2

    def inputs(self) -> list[Array]:
        """Return a random batch for each port."""
        draw = np.random.default_rng(7)
        return [draw.normal(size=(self.batch, *shape)) for shape in self.shapes]


def varies(affine: Affine, axes: Sequence[int]) -> bool:
    """Whether two numbers along one of `axes` differ."""
    return any(np.diff(part, axis=axis).any() for part in affine.parts for axis in axes)


def blocks(_: Maps) -> type:
    """Expect a wall."""
    return Blocks


def absorbs(channel: int | None = None, *, shifts: bool = True) -> Expectation:
    """Expect a map to go in if it varies along `channel` alone, or whatever it is."""

    def expectation(maps: Maps) -> type:
        (affine,) = maps
        others = [axis for axis in range(affine.rank) if axis != channel]
        if channel is not None and varies(affine, others):
            return Blocks
        return Blocks if affine.shift.any() and not shifts else Absorbs

    return expectation


def passes(*, negative: bool = True, shifts: bool = True, even: Sequence[int] = ()) -> Expectation:
    """Expect a map to pass unless it has what this op does not let by."""

    def expectation(maps: Maps) -> type:
        (affine,) = maps
        refused = (
            ((affine.scale < 0).any() and not negative)
            or (affine.shift.any() and not shifts)
            or varies(affine, even)
        )
        return Blocks if refused else Passes

    return expectation


def bias_takes(maps: Maps) -> type:
    """Expect a bias to take a shift that comes alone, and to move along with a scale."""
    return Absorbs if (maps[0].scale == 1).all() else Passes


def alike(maps: Maps) -> type:
    """Expect a sum to let by branches of one scale; no map is the scale one."""
    scales = [np.ones(1) if each is None else each.scale for each in maps]
    return Passes if all((scales[0] == scale).all() for scale in scales) else Blocks


def both(_: Maps) -> type:
    """Expect every map to pass."""
    return Passes


def normal(*shape: int) -> Array:
    """Draw weights."""
    return rng.normal(size=shape)


def dense(rank: int, units: int = 4, *, bias: bool = True) -> Case:
    """Dense from 3 channels to `units` on samples of `rank`."""
    op = ops.Dense(normal(3, units), normal(units) if bias else None, rank)
    shape = (5, 2, 3)[-rank:]
    name = f"Dense rank {rank} to {units}{'' if bias else ' without bias'}"
    return Case(name, op, (shape,), absorbs(rank - 1), absorbs(rank - 1))


def conv(
    label: str,
    size: tuple[int, ...],
    window: tuple[int, ...],
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: object = "valid",
    known: tuple[int | None, ...] | None = None,
    shifts: bool = True,
    kind: type[ops.Conv] = ops.Conv,
    channels: tuple[int, int] = (3, 4),
    groups: int = 1,
    bias: bool = True,
    first: bool = False,
) -> Case:
    """Make a convolution; `shifts` says whether a shift of its input may go in."""
    inner, outer = channels
    last = {
        ops.Conv: (inner // groups, outer),
        ops.DepthwiseConv: (inner, outer // inner),
        ops.ConvTranspose: (outer, inner),
    }[kind]
    op = kind(
        normal(*window, *last),
        normal(outer) if bias else None,
        (stride,) * len(size),
        (dilation,) * len(size),
        padding,
        groups,
        size if known is None else known,
        first,
    )
    shape = (inner, *size) if first else (*size, inner)
    channel = 0 if first else len(size)
    where = (absorbs(channel), absorbs(channel, shifts=shifts))
    return Case(f"{kind.__name__} {label}", op, (shape,), *where)


depthwise = partial(conv, kind=ops.DepthwiseConv, channels=(3, 6))
transposed = partial(conv, kind=ops.ConvTranspose, channels=(3, 2))

CONVOLUTIONS = [
    conv("1-D", (5,), (3,)),
    conv("1-D causal", (5,), (3,), padding=((2, 0),), shifts=False),
    conv("square", (4, 4), (2, 2), channels=(3, 3)),
    conv("without bias", (4, 5), (3, 2), bias=False),
    conv("same", (4, 5), (3, 3), padding="same", shifts=False),
    conv("same along one axis only", (4, 5), (1, 3), padding="same", shifts=False, bias=False),
    conv("same 1x1", (3, 2), (1, 1), padding="same"),
    conv("same 1x1 stride 2", (3, 4), (1, 1), stride=2, padding="same"),
    conv("same stride 2 that fits", (4, 6), (2, 2), stride=2, padding="same"),
    conv("same stride 3 window 2 that fits", (5, 2), (2, 2), stride=3, padding="same"),
    conv("same stride 2 window 3", (6, 5), (3, 3), stride=2, padding="same", shifts=False),
    conv("same stride 2 odd size", (4, 5), (2, 2), stride=2, padding="same", shifts=False),
    conv("same dilated", (4,), (2,), stride=2, dilation=2, padding="same", shifts=False),
    conv("same stride 3 dilated", (3, 6), (2, 2), stride=3, dilation=2, padding="same"),
    conv("same unknown", (4, 6), (2, 2), stride=2, padding="same", known=(4, None), shifts=False),
    conv("same 1x1 unknown", (4, 4), (1, 1), padding="same", known=(None, None)),
    conv("valid unknown", (4, 4), (3, 3), known=(None, None)),
    conv("explicit", (4, 4), (3, 3), padding=((0, 0), (0, 1)), shifts=False),
    conv("explicit nothing", (4, 4), (3, 3), padding=((0, 0), (0, 0))),
    conv("stride 2", (5, 4), (3, 3), stride=2),
    conv("dilated", (5, 6), (2, 3), dilation=2),
    conv("groups", (3, 3), (2, 2), channels=(4, 6), groups=2),
    conv("groups same", (3, 3), (3, 2), channels=(6, 3), groups=3, padding="same", shifts=False),
    conv("groups of one", (3,), (2,), channels=(3, 6), groups=3, bias=False),
    conv("channels first", (4, 5), (3, 3), first=True),
    conv("channels first same", (4, 3), (3, 3), first=True, padding="same", shifts=False),
    conv("3-D", (3, 4, 3), (2, 3, 2)),
    conv("3-D same", (3, 3, 2), (2, 1, 1), padding="same", shifts=False),
    depthwise("multiplier 2", (4, 5), (3, 3)),
    depthwise("multiplier 1 without bias", (4, 4), (2, 2), channels=(3, 3), bias=False),
    depthwise("same", (4, 4), (3, 3), padding="same", shifts=False),
    depthwise("same that fits", (4, 4), (2, 2), stride=2, padding="same"),
    depthwise("unknown", (4, 4), (2, 2), padding="same", known=(None, 4), shifts=False),
    depthwise("channels first", (5, 4), (2, 3), stride=2, first=True),
    depthwise("1-D dilated", (5,), (2,), dilation=2),
]
TRANSPOSED = [
    transposed("1x1", (3, 2), (1, 1)),
    transposed("1x1 square", (3, 2), (1, 1), channels=(3, 3)),
    transposed("square", (3, 3), (3, 3), stride=2, channels=(3, 3), shifts=False),
    transposed("1x1 without bias", (3, 2), (1, 1), bias=False, padding="same"),
    transposed("1x1 stride 2", (3, 3), (1, 1), stride=2, shifts=False),
    transposed("3x3", (3, 4), (3, 3), shifts=False),
    transposed("same stride 2", (3, 2), (3, 3), stride=2, padding="same", shifts=False),
    transposed("2x2 stride 2", (2, 3), (2, 2), stride=2, shifts=False, bias=False),
    transposed("channels first", (3, 4), (2, 3), first=True, shifts=False),
    transposed("1-D dilated", (4,), (2,), dilation=2, shifts=False),
    transposed("explicit", (4,), (3,), padding=((1, 0),), shifts=False),
]


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
        return reference.pool(x, reduce, (0, 1), **numbers)

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


def moved(op: ops.Op, shape: tuple[int, ...]) -> Case:
    """An op that only renames axes."""
    return Case(f"{op} of {shape}", op, (shape,), both, both)


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

CASES = [
    *(dense(rank, bias=bias) for rank in (1, 2, 3) for bias in (True, False)),
    dense(2, 3),
    *CONVOLUTIONS,
    *TRANSPOSED,
    *COMMUTING,
    *REINDEXING,
    *SELECTING,
    *MORE_LINEAR,
    *JOINING,
    Case("Bias per channel", ops.Bias(normal(1, 3)), ((4, 3),), bias_takes, bias_takes),
    Case("Bias per element", ops.Bias(normal(4, 3)), ((4, 3),), bias_takes, bias_takes),
    Case(
        "AffineOp",
        ops.AffineOp(Affine(normal(1, 3), normal(1, 3))),
        ((4, 3),),
        absorbs(),
        absorbs(),
    ),
    Case("ShapeOf", ops.ShapeOf(), ((4, 3),), blocks, absorbs()),
    Case("Opaque", ops.Opaque("Sigmoid"), ((4, 3),), blocks, blocks),
]

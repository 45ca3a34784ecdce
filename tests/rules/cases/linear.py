"""Examples of dense layers and convolutions."""

from __future__ import annotations

from functools import partial

from foldbn import ops
from tests.rules.cases.expecting import Case, absorbs, normal


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

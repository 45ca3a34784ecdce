"""The law of every rule: an op with its map, moved or taken in, computes what it did before.

    backward:  A o f  ==  f' o (A1, ..., An)
    forward:   f o (A1, ..., An)  ==  A' o f'

Both sides are evaluated in float64 over whole outputs, borders included, and the kind of the
outcome is asserted as well: a rule that blocks everything would keep the law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules import Absorbs, Blocks, Outcome, Passes, backward, forward
from tests import reference
from tests.rules.cases import CASES
from tests.rules.cases.expecting import Case
from tests.rules.cases.linear import CONVOLUTIONS, TRANSPOSED

SCALES: dict[str, Callable[[Array], Array]] = {
    "one": np.ones_like,
    "positive": lambda x: 0.5 + np.abs(x),
    "signed": lambda x: np.where(np.arange(x.size).reshape(x.shape) % 2, 1, -1) * (0.5 + abs(x)),
    "zero": lambda x: np.where(np.arange(x.size).reshape(x.shape) % 2, 1, 0) * (0.5 + abs(x)),
}


def maps_over(shape: tuple[int, ...]) -> Iterator[Affine]:
    """Yield uniform maps, maps per element, and maps along every single axis of a sample."""
    draw = np.random.default_rng(1)
    single = [
        tuple(n if i == axis else 1 for i, n in enumerate(shape)) for axis in range(len(shape))
    ]
    zero = np.zeros((1,) * len(shape))
    for form in dict.fromkeys([zero.shape, *single, shape]):
        for make in SCALES.values():
            scale = make(draw.normal(size=form))
            scale = scale.max(keepdims=True) if make is np.ones_like else scale
            yield Affine(scale, zero)
            yield Affine(scale, draw.normal(size=form))
    yield Affine(0.5 + draw.random(shape), draw.normal(size=(1,) * len(shape)))
    yield Affine(0.5 + draw.random((1,) * len(shape)), draw.normal(size=shape))


def joint_maps(shapes: Sequence[tuple[int, ...]]) -> Iterator[tuple[Affine | None, ...]]:
    """Yield maps for several ports: at one port, at all, of equal and of unequal scale."""
    if len(shapes) == 1:
        yield from ((affine,) for affine in maps_over(shapes[0]))
        return
    for affines in zip(*(maps_over(shape) for shape in shapes), strict=False):
        shifts = [Affine.of(1, each.shift, each.rank) for each in affines]
        mean = affines[0].scale.mean()
        alike = [Affine.of(mean, each.shift, each.rank) for each in affines]
        yield from (
            affines,
            tuple(shifts),
            tuple(alike),
            (*[None] * (len(shapes) - 1), affines[-1]),
        )
        yield (affines[0], *[None] * (len(shapes) - 1))
        yield (shifts[0], *[None] * (len(shapes) - 1))


def assert_same(before: Array, after: Array) -> None:
    """Assert agreement to 1e-12 of the largest magnitude, at every element."""
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12 * np.abs(before).max())


def finish_backward(outcome: Outcome, case: Case, xs: Sequence[Array]) -> Array:
    """Return ``f' o (A1, ..., An)``."""
    if isinstance(outcome, Passes):
        xs = [reference.mapped(each, x) for each, x in zip(outcome.maps, xs, strict=True)]
    return case.run(outcome.op, *xs)


def finish_forward(outcome: Outcome, case: Case, xs: Sequence[Array]) -> Array:
    """Return ``A' o f'``."""
    y = case.run(outcome.op, *xs)
    return reference.mapped(outcome.maps[0], y) if isinstance(outcome, Passes) else y


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_backward_law(case):
    """A map at the output of an op goes where mathematics lets it, and no number changes."""
    xs = case.inputs()
    y = case.run(case.op, *xs)
    for affine in maps_over(y.shape[1:]):
        outcome = backward(case.op, (affine,))
        assert type(outcome) is case.backward((affine,)), affine
        if not isinstance(outcome, Blocks):
            assert_same(reference.mapped(affine, y), finish_backward(outcome, case, xs))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_forward_law(case):
    """A map at the inputs of an op goes where mathematics lets it, and no number changes."""
    xs = case.inputs()
    for maps in joint_maps(case.shapes):
        outcome = forward(case.op, maps)
        assert type(outcome) is case.forward(maps), maps
        if not isinstance(outcome, Blocks):
            before = [reference.mapped(each, x) for each, x in zip(maps, xs, strict=True)]
            assert_same(case.run(case.op, *before), finish_forward(outcome, case, xs))


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if isinstance(c.op, ops.Commuting)],
    ids=lambda case: case.label,
)
def test_commuting_blocks_only_what_does_not_commute(case):
    """A map that an op blocks, applied on the other side of it, gives other numbers."""
    (x,) = case.inputs()
    y = case.run(case.op, x)
    for affine in maps_over(case.shapes[0]):
        fits = all(n in (1, size) for n, size in zip(affine.shape, y.shape[1:], strict=True))
        if fits and affine.scale.any() and isinstance(forward(case.op, (affine,)), Blocks):
            here, there = (
                case.run(case.op, reference.mapped(affine, x)),
                reference.mapped(affine, y),
            )
            assert not np.allclose(here, there)


@pytest.mark.parametrize(
    "case",
    [c for c in [*CONVOLUTIONS, *TRANSPOSED] if None not in c.op.input_size],
    ids=lambda case: case.label,
)
def test_convolution_takes_a_shift_if_its_image_is_even(case):
    """The image of a constant is the same at all places if and only if the shift goes in."""
    shape = [1] * len(case.shapes[0])
    shape[case.op.channel_axis] = case.shapes[0][case.op.channel_axis]
    shift = Affine(np.ones(shape), np.linspace(1, 2, max(shape)).reshape(shape))
    image = case.run(case.op, reference.mapped(shift, np.zeros((1, *case.shapes[0]))))
    even = all(np.allclose(np.diff(image, axis=axis + 1), 0) for axis in case.op.spatial_axes)
    assert isinstance(forward(case.op, (shift,)), Absorbs if even else Blocks)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[ops.Conv, tuple[int, ...]]:
    """Draw a convolution of one or two spatial axes, and the shape of a sample for it."""
    kind = draw(st.sampled_from([ops.Conv, ops.DepthwiseConv]))
    rank, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    window, strides, dilations, size = (
        tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))
        for low, high in ((1, 3), (1, 3), (1, 2), (1, 6))
    )
    pair = st.tuples(st.integers(0, 1), st.integers(0, 2))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(*[pair] * rank))
    extents = [(k - 1) * d + 1 for k, d in zip(window, dilations, strict=True)]
    pairs = [(0, 0)] * rank if isinstance(padding, str) else padding
    room = [n + sum(pair) - e for n, pair, e in zip(size, pairs, extents, strict=True)]
    assume(padding == "same" or min(room) >= 0)
    first, known = draw(st.booleans()), draw(st.booleans())
    inner, outer = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    last = (inner, groups * outer) if kind is ops.Conv else (inner * groups, outer)
    weights = np.random.default_rng(draw(st.integers(0, 99)))
    bias = weights.normal(size=groups * outer * (1 if kind is ops.Conv else inner))
    op = kind(
        weights.normal(size=(*window, *last)),
        draw(st.sampled_from([None, bias])),
        strides,
        dilations,
        padding,
        groups if kind is ops.Conv else 1,
        size if known else (None,) * rank,
        first,
    )
    channels = inner * groups
    return op, (channels, *size) if first else (*size, channels)


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(convolutions(), st.data())
def test_convolution_law_in_any_geometry(drawn, data):
    """Whatever its geometry, a convolution takes in what it can and computes the same."""
    op, shape = drawn
    x = np.random.default_rng(3).normal(size=(2, *shape))
    y = reference.apply(op, x)
    number = st.sampled_from([-2.0, -0.5, 0.0, 1.0, 3.0])
    for direction, size in (("backward", y.shape[1:]), ("forward", shape)):
        form = [1] * len(size)
        form[op.channel_axis] = size[op.channel_axis]
        numbers = st.lists(number, min_size=max(form), max_size=max(form))
        affine = Affine(*(np.reshape(data.draw(numbers), form) for _ in range(2)))
        if direction == "backward":
            outcome = backward(op, (affine,))
            assert isinstance(outcome, Absorbs)
            assert_same(reference.mapped(affine, y), reference.apply(outcome.op, x))
            continue
        outcome = forward(op, (affine,))
        counting = replace(op, kernel=np.ones_like(op.kernel), bias=None)
        whole = np.prod(op.kernel.shape[: -2 if isinstance(op, ops.DepthwiseConv) else -1])
        padded = reference.apply(counting, np.ones((1, *shape))).min() < whole
        unknown = None in op.input_size and op.padding == "same" and max(op.window) > 1
        explicit = not isinstance(op.padding, str) and bool(np.any(op.padding))
        refused = affine.shift.any() and (padded or unknown or explicit)
        assert isinstance(outcome, Blocks if refused else Absorbs)
        if not refused:
            after = reference.apply(outcome.op, x)
            assert_same(reference.apply(op, reference.mapped(affine, x)), after)


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(1, 3),
    st.booleans(),
    st.sets(st.integers(0, 3)),
)
def test_reshape_law_for_any_shape(source, factor, grows, axes):
    """A map goes through any reshape, or is found to differ where samples part or merge."""
    small = int(np.prod(source))
    target = (factor, small) if grows else (small,)
    origin = tuple(source) if grows else (factor, *source)
    op = ops.Reshape(origin, target)
    form = [n if axis in axes else 1 for axis, n in enumerate(origin)]
    draw = np.random.default_rng(5)
    affine = Affine(draw.normal(size=form), draw.normal(size=form))
    x = draw.normal(size=(2 * factor, *origin))
    outcome = forward(op, (affine,))
    parts = not grows and form[0] > 1
    assert isinstance(outcome, Blocks if parts else Passes)
    if not parts:
        (moved,) = outcome.maps
        before = reference.apply(op, reference.mapped(affine, x))
        assert_same(before, reference.mapped(moved, reference.apply(op, x)))
        back = backward(op, (moved,))
        assert isinstance(back, Passes)
        assert back.maps[0].equals(affine)


@pytest.mark.parametrize(
    ("op", "affine", "words"),
    [
        (ops.relu(), Affine.of(-2, 0, 2), "scales >= 0 by, and the least is -2"),
        (ops.relu(), Affine.of(2, 1, 2), "no shift"),
        (ops.max_pool((0,)), Affine.of([[1.0], [2]], 0, 2), "mixes positions"),
        (ops.GlobalPool("max", (0,), keepdims=False), Affine.of(-3, 0, 2), "GlobalMaxPooling"),
        (ops.GlobalPool("mean", (0,), keepdims=False), Affine.of([[1.0], [2]], 0, 2), "mixes"),
        (ops.Dense(np.ones((3, 2)), None, 2), Affine.of([[1.0], [2]], 0, 2), "varies along"),
        (ops.Reshape((2, 3), (3,)), Affine.of([[1.0], [2]], 0, 2), "batch axis"),
        (ops.Add(), Affine.of(2, 0, 1), "not scaled alike"),
        (
            ops.Conv(np.ones((3, 1, 1)), None, padding=((1, 1),)),
            Affine.of(1, 1, 2),
            "does not reach",
        ),
        (ops.Conv(np.ones((3, 1, 1)), None, padding="same"), Affine.of(1, 1, 2), "is not known"),
        (ops.ConvTranspose(np.ones((3, 1, 1))), Affine.of(1, 1, 2), "unevenly"),
    ],
)
def test_reason_says_what_is_wrong(op, affine, words):
    """A refusal names its cause."""
    outcome = forward(op, (affine, None))
    assert isinstance(outcome, Blocks)
    assert words in outcome.reason

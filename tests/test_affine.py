"""The affine map: its arithmetic, and the arrays it holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foldbn.affine import Affine

NUMBERS = st.floats(-8, 8, width=16).map(float)
SHAPE = (2, 3)


@st.composite
def affines(draw: st.DrawFn) -> Affine:
    """Draw a map over samples of shape `[2, 3]`, of any granularity."""
    forms = arrays.broadcastable_shapes(SHAPE, min_dims=2, max_dims=2, max_side=3)
    parts = [draw(arrays.arrays(np.float64, draw(forms), elements=NUMBERS)) for _ in range(2)]
    return Affine(*parts)


law = settings(max_examples=60, derandomize=True, deadline=None, database=None)
BATCH = np.random.default_rng(0).normal(size=(4, *SHAPE))


def test_of_pads_with_leading_axes():
    """A map for a rank is made from anything that broadcasts against its samples."""
    affine = Affine.of([1, 2, 3], 4, 3)
    assert affine.scale.shape == (1, 1, 3)
    assert affine.shift.shape == (1, 1, 1)
    assert (affine.scale.dtype, affine.rank, affine.shape) == (np.float64, 3, (1, 1, 3))


def test_of_refuses_a_rank_that_is_too_low():
    """A map of more axes than the sample has no meaning."""
    with pytest.raises(ValueError, match=r"a map of shape \(1, 3\) cannot act on .* of rank 1"):
        Affine.of([[1, 2, 3]], 0, 1)


def test_ranks_must_agree():
    """Scale and shift act on the same sample."""
    with pytest.raises(ValueError, match=r"ranks differ: scale \(1, 3\), shift \(3,\)"):
        Affine(np.ones((1, 3)), np.ones(3))


@pytest.mark.parametrize(
    ("scale", "shift", "facts"),
    [
        (1, 0, (False, False, True)),
        (1, [0, 2], (False, True, False)),
        ([1, -1], 0, (True, False, False)),
        (0, 0, (True, False, False)),
        (2, -1, (True, True, False)),
    ],
)
def test_what_it_does(scale, shift, facts):
    """It knows whether it scales, shifts or does nothing."""
    affine = Affine.of(scale, shift, 2)
    assert (affine.has_scale, affine.has_shift, affine.is_identity) == facts


def test_call_acts_on_a_sample_and_on_a_batch():
    """Per channel it multiplies, then adds."""
    affine = Affine.of([2.0, -1.0, 0.0], [1.0, 0.0, 5.0], 2)
    sample = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    wanted = [[3.0, -2.0, 5.0], [9.0, -5.0, 5.0]]
    assert affine(sample).tolist() == wanted
    assert affine(np.stack([sample, sample])).tolist() == [wanted, wanted]


@law
@given(affines(), affines())
def test_after_composes(second, first):
    """``B.after(A)(x) == B(A(x))``."""
    wanted = second.scale * (first.scale * BATCH + first.shift) + second.shift
    np.testing.assert_allclose(second.after(first)(BATCH), wanted, rtol=1e-12, atol=1e-10)


@law
@given(affines(), affines(), affines())
def test_after_is_associative(a, b, c):
    """The order of composing does not matter, the order of the maps does."""
    left, right = a.after(b).after(c), a.after(b.after(c))
    np.testing.assert_allclose(left(BATCH), right(BATCH), rtol=1e-12, atol=1e-8)


def test_after_is_not_commutative():
    """First doubling, then adding one is not first adding one, then doubling."""
    double, one_more = Affine.of(2, 0, 1), Affine.of(1, 1, 1)
    assert one_more.after(double)(np.array([3.0])) == 7
    assert double.after(one_more)(np.array([3.0])) == 8


@law
@given(affines())
def test_compact_keeps_the_map(affine):
    """The compact map equals the original, and has length 1 wherever it can."""
    compact = affine.compact()
    assert compact.equals(affine)
    for axis, size in enumerate(compact.shape):
        parts = (np.broadcast_to(part, compact.shape) for part in compact.parts)
        assert size == 1 or any(np.diff(part, axis=axis).any() for part in parts)


@law
@given(affines())
def test_equals_looks_at_numbers(affine):
    """A map equals itself spelled out per element, and no map with another number."""
    spelled = Affine(*(np.broadcast_to(part, SHAPE) for part in affine.parts))
    assert affine.equals(spelled)
    assert spelled.equals(affine)
    other = np.array(spelled.shift)
    other[1, 2] += 1
    assert not affine.equals(Affine(spelled.scale, other))
    assert not affine.equals(Affine(affine.scale + 1, affine.shift))


def test_equals_needs_the_same_rank():
    """Maps over samples of different ranks are different."""
    assert not Affine.of(2, 0, 1).equals(Affine.of(2, 0, 2))


def test_varies_along():
    """An axis of length 1 says: the same along this axis."""
    affine = Affine(np.ones((1, 3, 1)), np.ones((2, 1, 1)))
    assert affine.varies_along((0,))
    assert affine.varies_along((2, 1))
    assert not affine.varies_along((2,))
    assert not affine.varies_along(())

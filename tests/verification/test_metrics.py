"""Distances of known pairs."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.verification.metrics import cosine, distance, snr_db, ulp_p99


def test_nothing_is_compared_with_nothing():
    """A comparison of no numbers is refused, and so is one of different shapes."""
    for left, right in (((0, 3), (0, 3)), ((2, 3), (3, 2)), ((2, 3), (2, 3, 1)), ((4,), (1,))):
        with pytest.raises(ValueError, match="cannot compare"):
            distance(np.ones(left), np.ones(right))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_far_from_everything(bad):
    """NaN and infinity are infinitely far from themselves too."""
    gap = distance(np.array([1.0, bad]), np.array([1.0, bad]))
    assert gap.max_abs == np.inf
    assert gap.max_rel == np.inf or np.isnan(gap.max_rel)
    assert gap.worst_index == (1,)


def test_distance():
    """A known difference has the numbers worked out by hand, and the place where it is."""
    gap = distance(np.array([[3.0, -4.0], [0.0, 0.0]]), np.array([[3.0, -4.0], [2.0, 0.0]]))
    assert gap.max_abs == 2
    assert gap.max_rel == 0.5
    assert gap.mean_abs == 0.5
    assert gap.rms == 1
    assert gap.worst_index == (1, 0)
    assert (gap.scale_max, gap.scale_rms) == (4, 2.5)


def test_distance_from_nothing_but_zeros():
    """Where the reference is all zeros only zeros are near."""
    assert distance(np.zeros(2), np.zeros(2)).max_rel == 0
    assert distance(np.zeros(2), np.full(2, 1e-30)).max_rel == np.inf


def test_other_measures():
    """Signal-to-noise ratio, cosine and units in the last place of known pairs."""
    one, near = {"y": np.array([1.0, 0.0])}, {"y": np.array([1.0, 0.1])}
    assert snr_db(one, one) is None
    assert snr_db(one, near) == pytest.approx(20)
    assert cosine(one, {"y": np.array([0.0, 2.0])}) == 0
    assert cosine(one, {"y": np.array([5.0, 0.0])}) == 1
    step = float(np.spacing(np.float32(1)))
    assert ulp_p99({"y": np.ones(3)}, {"y": np.full(3, 1 + 3 * step)}) == pytest.approx(3)

"""The statistics of a benchmark row: pure functions of numbers, no clock, no runtime.

Calls within one session share its memory layout and its moment, so they are not
independent samples; sessions are. Each session pair therefore gives one number, the ratio
of two medians, and the interval is a bootstrap over pairs (Kalibera & Jones, "Rigorous
Benchmarking in Reasonable Time", 2013: resample the level that varies).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from foldbn.latencies import Latency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Verdict = Literal["faster", "slower", "same", "inconclusive"]

# The smallest n for which the extremes of n samples hold the median with 95 % confidence:
# both miss it on one side with probability 2 * (1/2)**n, 3.1 % at 6 and 6.3 % at 5.
MIN_PAIRS = 6
SAME_WITHIN = 0.02
RESAMPLES = 4000


def latency(spans_ns: NDArray[np.int64]) -> Latency:
    """Summarise calls as their median and 95th percentile, in milliseconds.

    Args:
        spans_ns: duration of each call in nanoseconds, shape ``[calls]``, not empty.
    """
    p50, p95 = np.percentile(spans_ns, (50, 95)) / 1e6
    return Latency(p50=float(p50), p95=float(p95))


def pair_ratio(original_ns: NDArray[np.int64], candidate_ns: NDArray[np.int64]) -> float:
    """Divide the original's median call by the candidate's: above 1, the candidate wins.

    Medians, because a call that the scheduler interrupted says nothing about the model.

    Args:
        original_ns: calls of one session, nanoseconds, shape ``[calls]``.
        candidate_ns: calls of the session beside it, nanoseconds, shape ``[calls]``.
    """
    return float(np.median(original_ns) / np.median(candidate_ns))


def speedup(ratios: Sequence[float]) -> float:
    """Take the median of the session pairs' ratios."""
    return float(np.median(ratios))


def interval(ratios: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Bound `speedup` with a 95 % percentile bootstrap over session pairs.

    Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. The same
    ratios and seed give the same interval.

    Args:
        ratios: one for each session pair, not empty.
        seed: of the resampling.
    """
    drawn = np.asarray(ratios, dtype=np.float64)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, drawn.size, size=(RESAMPLES, drawn.size))
    low, high = np.percentile(np.median(drawn[rows], axis=1), (2.5, 97.5))
    return float(low), float(high)


def noise_floor(noise: tuple[float, float]) -> float:
    """Read the larger side of an A/A interval as a distance from 1: ``max |log bound|``."""
    return float(np.abs(np.log(noise)).max())


def verdict(
    ratios: Sequence[float], bounds: tuple[float, float], noise: tuple[float, float]
) -> Verdict:
    """Say what the numbers allow to say.

    ``faster`` or ``slower`` where `bounds` exclude 1 and the speedup is further from 1, as
    a ratio, than `noise_floor`; else ``same`` where `bounds` lie within 2 % of 1; else
    ``inconclusive``, as always with fewer than `MIN_PAIRS` pairs.

    Args:
        ratios: one for each session pair.
        bounds: their `interval`.
        noise: the interval of the reference against itself.
    """
    if len(ratios) < MIN_PAIRS:
        return "inconclusive"
    low, high = bounds
    if abs(np.log(speedup(ratios))) > noise_floor(noise):
        if low > 1:
            return "faster"
        if high < 1:
            return "slower"
    if low >= 1 - SAME_WITHIN and high <= 1 + SAME_WITHIN:
        return "same"
    return "inconclusive"

"""The verdict must find an effect that is there and none that is not."""

import numpy as np
import pytest

from foldbn.benchmark import statistics


def verdict_of(ratios, noise_ratios, seed=0):
    """Judge ratios against noise the way a benchmark row does."""
    bounds = statistics.interval(ratios, seed=seed)
    noise = statistics.interval(noise_ratios, seed=seed)
    return statistics.verdict(ratios, bounds, noise)


def draw(rng, effect, spread, pairs=12):
    """Draw log-normal ratios of session pairs around `effect`."""
    return effect * np.exp(rng.normal(0.0, spread, pairs))


def test_latency_is_percentiles_in_milliseconds():
    """Nanoseconds become the milliseconds of the median and the 95th percentile."""
    spans = np.arange(0, 101, dtype=np.int64) * 1_000_000
    result = statistics.latency(spans)
    assert (result.p50, result.p95) == (50.0, 95.0)


def test_pair_ratio_is_original_over_candidate():
    """A candidate twice as fast has ratio 2, whatever one interrupted call took."""
    original = np.array([20, 20, 20, 9_000_000])
    candidate = np.array([10, 10, 10, 10])
    assert statistics.pair_ratio(original, candidate) == 2.0


def test_interval_is_reproducible_and_holds_the_median():
    """One seed gives one interval, and the speedup lies within it."""
    ratios = draw(np.random.default_rng(3), 1.1, 0.03)
    low, high = statistics.interval(ratios, seed=5)
    assert (low, high) == statistics.interval(ratios, seed=5)
    assert low <= statistics.speedup(ratios) <= high


def test_interval_covers_the_true_ratio():
    """The interval holds the true ratio in about 95 of 100 trials."""
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(200):
        low, high = statistics.interval(draw(rng, 1.05, 0.04), seed=seed)
        held += low <= 1.05 <= high
    assert held >= 180


@pytest.mark.parametrize("spread", [0.002, 0.02, 0.1])
def test_no_difference_is_not_called_one(spread):
    """The reference against itself is faster or slower in at most 5 of 100 trials."""
    rng = np.random.default_rng(17)
    verdicts = [
        verdict_of(draw(rng, 1.0, spread), draw(rng, 1.0, spread), seed) for seed in range(100)
    ]
    assert verdicts.count("faster") + verdicts.count("slower") <= 5


@pytest.mark.parametrize(("effect", "expected"), [(1.1, "faster"), (1 / 1.1, "slower")])
def test_ten_percent_is_found(effect, expected):
    """A tenth more or less speed is seen through 2 % of spread every time."""
    rng = np.random.default_rng(23)
    for seed in range(50):
        assert verdict_of(draw(rng, effect, 0.02), draw(rng, 1.0, 0.02), seed) == expected


def test_an_effect_within_the_noise_is_inconclusive():
    """A sure 5 % says nothing where the reference differs from itself by 6 %."""
    ratios = [1.05] * 12
    assert statistics.verdict(ratios, (1.04, 1.06), (0.94, 1.01)) == "inconclusive"


def test_a_tight_interval_around_one_is_the_same():
    """An interval within 2 % of 1 is an answer, not a lack of one."""
    ratios = [1.0] * 12
    assert statistics.verdict(ratios, (0.985, 1.015), (0.99, 1.01)) == "same"


def test_a_wide_interval_around_one_is_inconclusive():
    """An interval that leaves 2 % on one side decides nothing."""
    ratios = [1.0] * 12
    assert statistics.verdict(ratios, (0.97, 1.015), (0.99, 1.01)) == "inconclusive"


def test_few_pairs_decide_nothing():
    """Five pairs cannot carry a 95 % verdict, however large the effect."""
    assert verdict_of([2.0] * 5, [1.0] * 5) == "inconclusive"
    assert verdict_of([2.0] * 6, [1.0] * 6) == "faster"

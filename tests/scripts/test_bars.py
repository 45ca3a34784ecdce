"""Ratios and bars: the right way round, pass and miss at the bound, leftovers counted."""

import pytest
from benchmark_bars import Bar, Ratio, bars, leftovers, ratio, verdict


def test_ratio_is_the_median_over_groups():
    """Latencies of one group are divided by each other, never by those of another group."""
    found = ratio([2.0, 20.0, 6.0], [1.0, 10.0, 2.0])
    assert found.value == 2.0
    assert found.low <= 2.0 <= found.high


@pytest.mark.parametrize(
    ("value", "at_least", "told"),
    [(1.10, True, "pass"), (1.09, True, "MISS"), (1.10, False, "pass"), (1.11, False, "MISS")],
)
def test_verdict_at_the_bound(value, at_least, told):
    """The bound itself passes, on either side."""
    bar = Bar("plain", "foldbn", at_least=at_least, bound=1.10)
    assert verdict(Ratio(value, value, value), bar) == told


def test_verdict_is_unsure_where_the_interval_holds_the_bound():
    """An interval on both sides of the bound is told, whichever way the median fell."""
    bar = Bar("foldbn", "twin", at_least=False, bound=1.04)
    assert verdict(Ratio(1.03, 1.01, 1.05), bar) == "pass, unsure"
    assert verdict(Ratio(1.05, 1.03, 1.07), bar) == "MISS, unsure"


def test_leftovers_are_what_the_twin_has_not():
    """A residual addition is the network's own; a Mul and an Add more are two leftovers."""
    twin = {"Conv": 5, "Add": 3, "Relu": 5}
    assert leftovers({"Conv": 5, "Add": 4, "Mul": 1, "Relu": 7}, twin) == 2
    assert leftovers({"Conv": 6, "Add": 2}, twin) == 1
    assert leftovers(twin, twin) == 0


def test_every_network_is_held_to_plain_and_to_the_peers():
    """A network without a bar of its own must not be slower than the plain export."""
    found = set(map(str, bars("dense_resnet", "onnx", 8, ["plain", "slim", "sim", "twin"], 3)))
    assert found == {"plain / foldbn >= 0.98", "foldbn / slim <= 1.02", "foldbn / sim <= 1.02"}


def test_the_twin_is_a_bar_for_one_sample_only():
    """DenseNet121 has a bar against its twin at batch 1, and a higher one against plain."""
    arms = ["plain", "twin"]
    single = list(map(str, bars("DenseNet121", "onnx", 1, arms, 200)))
    assert single == ["plain / foldbn >= 1.18", "foldbn / twin <= 1.04"]
    assert list(map(str, bars("DenseNet121", "onnx", 8, arms, 200))) == single[:1]


def test_tflite_must_be_faster_where_normalizations_stay():
    """Leftovers in the converter's own file raise the bar from not slower to faster."""
    assert [bar.bound for bar in bars("cnn", "tflite", 1, ["plain"], 0)] == [0.98]
    assert [bar.bound for bar in bars("cnn", "tflite", 1, ["plain"], 4)] == [1.02]
    assert [bar.bound for bar in bars("cnn", "tflite", 1, ["plain"], None)] == [0.98]

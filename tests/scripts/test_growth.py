"""The fit of growth finds lines and tells curves apart, and ratios are the right way round."""

import benchmark_convert
import benchmark_growth
import pytest
from processes import Run

SIZES = (50, 100, 200, 400)


def test_fit_finds_a_line_and_calls_it_linear():
    """Points on a line give back its start and slope, and no deviation."""
    line = benchmark_growth.fit(SIZES, [3 + 0.2 * size for size in SIZES])
    assert line.start == pytest.approx(3)
    assert line.slope == pytest.approx(0.2)
    assert line.deviation < 1e-9
    assert line.linear


def test_fit_calls_a_square_not_linear():
    """Time that grows with the square of the size is no line, a little noise still is one."""
    assert not benchmark_growth.fit(SIZES, [3 + 1e-3 * size**2 for size in SIZES]).linear
    noisy = [3.03 + 0.2 * size * (1.03 if size in (50, 200) else 0.97) for size in SIZES]
    assert benchmark_growth.fit(SIZES, noisy).linear


def test_memory_bar_is_eight_times_the_weights_and_a_base():
    """100 MB of weights may take 0.8 GB and the 1.2 GB that everything takes."""
    assert benchmark_growth.allowed_gb(100) == pytest.approx(2.0)


def test_convert_ratios_are_foldbn_over_the_script():
    """Half the time and a quarter of the memory are ratios of 0.5 and 0.25, medians of pairs."""
    pairs = [(_run(5, 1), _run(10, 4)), (_run(9, 9), _run(10, 4)), (_run(1, 0), _run(10, 4))]
    assert benchmark_convert.summary(pairs) == {"wall": 0.5, "peak": 0.25}
    assert benchmark_convert.verdict(0.5, 0.5) == "pass"
    assert benchmark_convert.verdict(0.51, 0.5) == "MISS"


def _run(seconds, peak_gb):
    return Run(seconds, peak_gb, 0, "", "")

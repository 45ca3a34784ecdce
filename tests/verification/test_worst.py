"""The worst of several verdicts is the one that is told."""

from __future__ import annotations

from dataclasses import replace

from foldbn.results import ArtifactVerification
from foldbn.verification.rounding import worst_of


def verdict(error: float | None, *, passed: bool = True) -> ArtifactVerification:
    """Return a verdict on two samples."""
    return ArtifactVerification(
        passed=passed,
        max_abs=error,
        max_rel=error,
        mean_abs=error,
        snr_db=None,
        cosine=None,
        argmax_agreement=1.0,
        ulp_p99=None,
        reference="float64",
        error=error,
        original_error=0.0,
        tolerance=1.0,
        channel=None,
        samples=2,
        worst_output="y",
        worst_index=(0,),
    )


def test_no_error_at_all_is_the_best():
    """Zero is a figure, and the smallest."""
    assert worst_of([verdict(0.0), verdict(1e-3), verdict(1e-5)]).error == 1e-3


def test_a_failure_is_worse_than_any_figure():
    """What failed is told, however near it was."""
    assert not worst_of([verdict(1.0), verdict(1e-9, passed=False)]).passed


def test_outputs_that_are_not_finite_are_the_worst():
    """Of failures the one without a figure is told."""
    failed = [verdict(1.0, passed=False), verdict(None, passed=False), verdict(0.0)]
    assert worst_of(failed).error is None
    assert worst_of(failed).samples == 6


def test_what_is_near_its_own_allowance_is_the_worst():
    """A small difference where little is allowed tells more than a great one elsewhere."""
    close, far = verdict(1e-6), verdict(1e-3)
    assert worst_of([replace(close, tolerance=2e-6), replace(far, tolerance=1.0)]).error == 1e-6

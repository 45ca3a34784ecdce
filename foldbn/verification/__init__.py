"""Prove that outputs are numerically equal: the algebra in float64, rounding per runtime."""

from foldbn.verification.algebra import Reference, check_algebra, make_references
from foldbn.verification.batches import Samples
from foldbn.verification.landmarks import check_landmarks
from foldbn.verification.rounding import verify_artifact, worst_of
from foldbn.verification.samples import generate_samples, load_samples

__all__ = [
    "Reference",
    "Samples",
    "check_algebra",
    "check_landmarks",
    "generate_samples",
    "load_samples",
    "make_references",
    "verify_artifact",
    "worst_of",
]

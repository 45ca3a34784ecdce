"""Prove that outputs are numerically equal: the algebra in float64, rounding per runtime."""

from foldbn.verification.algebra import Proof, check_algebra, prove
from foldbn.verification.batches import Samples
from foldbn.verification.halves import computes_in_half
from foldbn.verification.reference import Reference, Yardstick, computes, make_references
from foldbn.verification.rounding import verify_artifact, worst_of
from foldbn.verification.samples import check_there, generate_samples, load_samples

__all__ = [
    "Proof",
    "Reference",
    "Samples",
    "Yardstick",
    "check_algebra",
    "check_there",
    "computes",
    "computes_in_half",
    "generate_samples",
    "load_samples",
    "make_references",
    "prove",
    "verify_artifact",
    "worst_of",
]

"""The first half of the proof: original and folded graph agree in float64.

A fold that is wrong in any way shows here, for nothing but float64 rounding is left:
``max|a - b| / max|a| <= 1e-9`` over every output, and over tensors inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foldbn.errors import VerificationFailed
from foldbn.frontends.frozen import FrozenModel
from foldbn.results import Algebra
from foldbn.verification.batches import Samples
from foldbn.verification.landmarks import compare_landmarks, landmarks_of
from foldbn.verification.metrics import NOT_PROVEN, TOLERANCE, distance
from foldbn.verification.reference import (
    Evaluator,
    Reference,
    Yardstick,
    in_float64,
    make_references,
)


@dataclass(frozen=True)
class Proof:
    """What the original computes, and how close the folded graph comes to it in float64.

    Attributes:
        references: one for each set of samples.
        algebra: of the outputs.
        landmarks: how many inner tensors were compared.
    """

    references: list[Reference]
    algebra: Algebra
    landmarks: int


def prove(
    original: FrozenModel,
    folded: FrozenModel,
    sets: Sequence[Samples],
    *,
    yardstick: Yardstick | None = None,
    own: FrozenModel | None = None,
) -> Proof:
    """Evaluate the original on each set of samples, and hold the folded graph against it.

    Args:
        original: the model in float32.
        folded: the same folded.
        sets: of samples.
        yardstick: tells how far off artefacts may be; `original`, if not given.
        own: the model as the framework gave it; `original`, if not given.

    Raises:
        VerificationFailed: an output or an inner tensor is further off than float64 rounding.
        BadSamples: no sample is left on which the original is finite.
        Unsupported: the model's output for a sample depends on its batch, or on chance.
    """
    exactly = in_float64(original)
    references = make_references(original, sets, exactly, yardstick=yardstick, own=own)
    samples = references[-1].samples
    landmarks = landmarks_of(folded, exactly.has_floats)
    inner = exactly.inside(list(landmarks), samples)
    del exactly  # its weights take twice the room of the model's
    evaluate = in_float64(folded)
    algebra = check_algebra(references, folded, evaluate)
    found = evaluate.inside(list(landmarks.values()), samples)
    return Proof(references, algebra, compare_landmarks(list(landmarks), inner, found))


def check_algebra(
    references: Sequence[Reference], folded: FrozenModel, evaluate: Evaluator | None = None
) -> Algebra:
    """Hold the outputs of the folded graph, in float64, against the references.

    Args:
        references: of the original.
        folded: the folded graph.
        evaluate: its evaluator in float64, if there is one already.

    Raises:
        VerificationFailed: an output is further off than float64 rounding.
    """
    evaluate = evaluate or in_float64(folded)
    worst, count = 0.0, 0
    for reference in references:
        outputs = evaluate(reference.samples)
        count += len(next(iter(reference.samples.values())))
        for name, exact in reference.exact.items():
            gap = distance(exact, outputs[name])
            if not gap.max_rel <= TOLERANCE:
                raise VerificationFailed(
                    f"the folded graph differs in float64: {name!r} by {gap.max_rel:.1e} of its"
                    f" range, the algebra allows {TOLERANCE:.0e}",
                    NOT_PROVEN,
                )
            worst = max(worst, gap.max_rel)
    return Algebra(checked=True, max_rel=worst, samples=count)

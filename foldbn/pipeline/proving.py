"""Prove a folded model in float64; of a SavedModel that is written back, every signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foldbn import verification
from foldbn.errors import BadSamples, Unsupported
from foldbn.frontends import safety, saved_model
from foldbn.pipeline.steps import (
    Clock,
    Folded,
    PathLike,
    load_and_fold,
    references_for,
    require_folded,
)
from foldbn.results import Algebra


@dataclass(frozen=True)
class Proven:
    """A folded model whose algebra is proven.

    Attributes:
        folded: the model.
        references: what the original computes, to hold artefacts against.
        algebra: how far the folded graph is off in float64.
    """

    folded: Folded
    references: list[verification.Reference]
    algebra: Algebra


def prove(folded: Folded, samples: PathLike | None, seed: int, clock: Clock) -> Proven:
    """Hold a folded graph against its original in float64.

    Raises:
        VerificationFailed: they differ by more than float64 rounding.
    """
    with clock.phase("verify"):
        original = folded.loaded.original
        references = references_for(original, samples, seed)
        algebra = verification.check_algebra(references, folded.model)
        verification.check_landmarks(original, folded.model, references[0].samples)
    return Proven(folded, references, algebra)


def prove_others(
    source: Path, chosen: Folded, seed: int, clock: Clock, *, require_fold: bool
) -> tuple[list[Proven], dict[str, str]]:
    """Fold and prove the signatures of a SavedModel besides the chosen one.

    Args:
        source: of the model; a Keras file has no other signatures.
        chosen: the signature that is folded already.
        seed: of the generated inputs.
        clock: to time the phases.
        require_fold: raise if an affine layer of one would be kept.

    Returns:
        The signatures that foldbn can fold, and for each other one the reason why not.
    """
    proven: list[Proven] = []
    left_out: dict[str, str] = {}
    if chosen.loaded.source.format != "savedmodel":
        return proven, left_out
    for name in saved_model.signatures_of(safety.read_checked(source)):
        if name == chosen.model.signature:
            continue
        try:
            folded = load_and_fold(source, name, None, clock)
            if require_fold:
                require_folded(folded.folding)
            proven.append(prove(folded, None, seed, clock))
        except (BadSamples, Unsupported) as error:
            left_out[name] = error.message
    return proven, left_out

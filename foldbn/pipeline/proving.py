"""Fold a model and prove it in float64; of a SavedModel that is written back, every signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldbn import verification
from foldbn.errors import BadSamples, Unsupported
from foldbn.frontends import safety, saved_model
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.weights import weights_of
from foldbn.pipeline.judging import in_single_precision
from foldbn.pipeline.steps import (
    Choices,
    Clock,
    PathLike,
    load_and_fold,
    require_folded,
    samples_for,
)
from foldbn.results import Decision, Source


@dataclass(frozen=True)
class Proven:
    """A folded model that equals the original in float64.

    Attributes:
        source: where the original came from.
        decisions: one for each affine layer.
        reordered: layers whose convolution works in another place.
        plain: the original, ready to be exported.
        model: the same folded, its weights rounded to the types they are exported in.
        proof: what the original computes, and how close the folded model comes to it.
    """

    source: Source
    decisions: tuple[Decision, ...]
    reordered: tuple[str, ...]
    plain: FrozenModel
    model: FrozenModel
    proof: verification.Proof

    def greatest(self) -> float:
        """Return the magnitude of the greatest number among outputs and folded weights."""
        outputs = (array for each in self.proof.references for array in each.exact.values())
        return max(float(np.abs(array).max()) for array in (*outputs, *weights_of(self.model)))


def load_and_prove(  # noqa: PLR0913 - the options of convert that concern it
    path: Path,
    clock: Clock,
    choices: Choices,
    *,
    samples: PathLike | None,
    seed: int,
    require_fold: bool,
) -> Proven:
    """Load a model, fold it, and hold it against its original in float64.

    What only the proof needs, twice the weights and more, is let go on return.

    Raises:
        NotFolded: `require_fold` is not met.
        VerificationFailed: the two differ by more than float64 rounding.
    """
    folded = load_and_fold(path, choices, clock)
    if require_fold:
        require_folded(folded.decisions)
    loaded = folded.loaded
    with clock.phase("verify"):
        sets = samples_for(loaded, samples, seed)
        proof = verification.prove(
            loaded.single,
            folded.model,
            sets,
            yardstick=in_single_precision(loaded),
            own=loaded.original,
        )
    rounded = folded.model.rounded()
    told = (folded.decisions, folded.reordered)
    return Proven(loaded.source, *told, loaded.simplified, rounded, proof)


def prove_others(
    path: Path, chosen: Proven, seed: int, clock: Clock, *, require_fold: bool
) -> tuple[list[Proven], dict[str, str]]:
    """Fold and prove the signatures of a SavedModel besides the chosen one.

    Args:
        path: of the model; a Keras file has no other signatures.
        chosen: the signature that is proven already.
        seed: of the generated inputs.
        clock: to time the phases.
        require_fold: raise if an affine layer of one would be kept.

    Returns:
        The signatures that foldbn can fold, and for each other one the reason why not.
    """
    proven: list[Proven] = []
    left_out: dict[str, str] = {}
    if chosen.source.format != "savedmodel":
        return proven, left_out
    for name in saved_model.signatures_of(safety.read_checked(path)):
        if name == chosen.model.signature:
            continue
        try:
            other = load_and_prove(
                path,
                clock,
                Choices(signature=name),
                samples=None,
                seed=seed,
                require_fold=require_fold,
            )
        except (BadSamples, Unsupported) as error:
            left_out[name] = error.message
        else:
            proven.append(other)
    return proven, left_out

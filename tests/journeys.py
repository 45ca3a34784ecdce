"""A model's way through foldbn step by step, for tests that look at what lies between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foldbn import verification
from foldbn.folding import Folding, fold
from foldbn.frontends import keras_files, loading, reader, writer
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.loading import LoadedModel
from foldbn.frontends.reader import Reading
from foldbn.results import Decision, Source
from tests.graphs import show, tell


@dataclass(frozen=True)
class Journey:
    """A model that was loaded, read, folded and written back."""

    loaded: LoadedModel
    reading: Reading
    folding: Folding
    model: FrozenModel

    @property
    def decisions(self) -> dict[str, Decision]:
        """The decision for each affine layer, by its name."""
        return {decision.layer: decision for decision in self.folding.decisions}

    @property
    def outcomes(self) -> dict[str, str]:
        """What became of each affine layer, by its name."""
        return {decision.layer: decision.outcome for decision in self.folding.decisions}

    @property
    def told(self) -> str:
        """All decisions in one line: takers in the order of their names, each crossed layer once.

        A layer of several ops may be crossed by one and take the map in by another: told as its
        taker alone. What is kept as it was or lowered to a cheap op ``stays``.
        """
        decisions = tuple(
            replace(
                each,
                outcome="stays" if each.outcome in ("kept", "lowered") else each.outcome,
                into=tuple(sorted(each.into)),
                across=tuple(layer for layer in each.across if layer not in each.into),
            )
            for each in self.folding.decisions
        )
        return tell(replace(self.folding, decisions=decisions))

    @property
    def shown(self) -> str:
        """The folded graph in one line, without nodes that only pass their input on."""
        return show(self.folding.graph)

    def references(self, seed: int = 0) -> list[verification.Reference]:
        """Return what the original computes for generated samples."""
        original = self.loaded.single
        return verification.make_references(
            original, verification.generate_samples(original.inputs, seed)
        )

    def max_rel(self) -> float:
        """Return how far the folded graph is off in float64, at the worst of two seeds."""
        gaps = [verification.check_algebra(self.references(seed), self.model) for seed in (0, 1)]
        assert all(gap.checked and gap.samples for gap in gaps)
        return max(gap.max_rel for gap in gaps)


def of_file(path: Path, **options: Any) -> Journey:
    """Take the model at `path` through all steps up to the folded graph."""
    return _of(loading.load(path, **options))


def of_keras(model: Any) -> Journey:
    """Take a Keras model, as it is in memory, through all steps up to the folded graph."""
    source = Source("in memory", "keras-h5", "")
    return _of(loading.simplify(source, keras_files.freeze_model(model)))


def of_frozen(model: FrozenModel) -> Journey:
    """Take a frozen graph through all steps up to the folded graph."""
    return _of(loading.simplify(Source("in memory", "savedmodel", ""), model))


def _of(loaded: LoadedModel) -> Journey:
    reading = reader.read(loaded.simplified, loaded.shapes)
    folding = fold(reading.graph)
    return Journey(
        loaded, reading, folding, writer.write(loaded.simplified, reading, folding.graph)
    )


def randomise(model: Any, seed: int = 0, *, scales: str = "any") -> Any:
    """Draw the four weights of every normalization at random, and every bias.

    Args:
        model: a Keras model; it is changed, and returned.
        seed: of the draw.
        scales: ``any`` has negative scales and a zero where there are three channels or more,
            ``positive`` has neither.
    """
    import keras

    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            _randomise_normalization(layer, rng, scales)
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def _randomise_normalization(layer: Any, rng: np.random.Generator, scales: str) -> None:
    shape = layer.moving_mean.shape
    if layer.gamma is not None:
        gamma = rng.uniform(0.5, 1.5, shape)
        if scales == "any":
            gamma *= rng.choice([-1, 1, 1], shape)
            gamma.flat[0] = -0.7
            if gamma.size > 2:
                gamma.flat[-1] = 0
        layer.gamma.assign(gamma)
    if layer.beta is not None:
        layer.beta.assign(rng.normal(size=shape))
    layer.moving_mean.assign(rng.normal(size=shape))
    layer.moving_variance.assign(rng.uniform(0.2, 2, shape))

"""Small models of random normalization, converted and proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foldbn
from tests.journeys import randomise


def prove(model: Any, folder: Path, **options: Any) -> foldbn.Conversion:
    """Save a Keras model and convert it to both formats, which proves it."""
    path = folder / "model.keras"
    model.save(path)
    result = foldbn.convert(path, output_dir=folder / "out", bench=False, **options)
    assert result.verification.algebra.max_rel <= 1e-9
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]
    return result


def stack(shape: tuple[int, ...], *layers: Any, seed: int = 0, scales: str = "any") -> Any:
    """Return a Sequential model with random normalization."""
    import keras

    return randomise(keras.Sequential([keras.Input(shape), *layers]), seed, scales=scales)


def outcomes(result: foldbn.Conversion | foldbn.Inspection) -> dict[str, str]:
    """Return what became of each layer, by its name."""
    return {decision.layer: decision.outcome for decision in result.decisions}

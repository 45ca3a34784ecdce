"""TFLite has no pooling of volumes; pooling planes and then the third axis gives the same."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from foldbn.export.tflite_file import to_tflite
from foldbn.frontends.keras_files import freeze_model
from foldbn.verification.reference import Evaluator
from foldbn.verification.runtimes import load_artifact

POOLS = {
    "halved": {"pool_size": 2},
    "padded": {"pool_size": (2, 3, 2), "strides": 2, "padding": "same"},
    "at every place": {"pool_size": (3, 2, 1), "strides": 1, "padding": "same"},
    "with places left out": {"pool_size": (1, 2, 2), "strides": (2, 1, 3)},
}


@pytest.mark.parametrize("batch_size", [1, None])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("kind", ["AveragePooling3D", "MaxPooling3D"])
def test_volumes_are_pooled(kind: str, pool: str, batch_size: int | None):
    """Windows cut short by a border count only what they cover, on each axis for itself."""
    inputs = keras.Input((5, 7, 6, 3), name="x")
    layer: Any = getattr(keras.layers, kind)(**POOLS[pool])
    frozen = freeze_model(keras.Model(inputs, layer(inputs)))
    samples = {"x": np.random.default_rng(0).normal(size=(4, 5, 7, 6, 3)).astype(np.float32)}
    (truth,) = Evaluator(frozen)(samples).values()
    artifact = load_artifact(to_tflite(frozen, batch_size=batch_size), "pool", frozen.signature)
    (found,) = artifact.run(samples).values()
    assert truth.shape == found.shape
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-6)

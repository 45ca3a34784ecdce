"""Samples in the type of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import BadSamples
from tests.journeys import randomise
from tests.precision.policies import in_policy


@pytest.fixture(scope="module", params=["float16", "bfloat16", "float64"])
def ported(request, tmp_path_factory) -> tuple[str, Path]:
    """Return a model whose input has another type than float32, and the type."""
    import keras

    kind = request.param

    def build() -> Any:
        inputs = keras.Input((6,), dtype=kind, name="x")
        tensor = keras.layers.Dense(8, name="dense")(inputs)
        tensor = keras.layers.BatchNormalization(name="bn")(tensor)
        return keras.Model(inputs, keras.layers.Dense(3, name="last")(keras.layers.ReLU()(tensor)))

    path = tmp_path_factory.mktemp(kind) / "model.keras"
    randomise(in_policy(kind, build)).save(path)
    return kind, path


def test_samples_in_the_type_of_the_model(ported, tmp_path):
    """Samples in the model's own type are taken, as those in another are; ports are float32."""
    import onnx
    import tensorflow as tf

    kind, path = ported
    numbers = np.random.default_rng(0).normal(size=(5, 6))
    np.save(tmp_path / "own.npy", numbers.astype(tf.as_dtype(kind).as_numpy_dtype))
    np.savez(tmp_path / "double.npz", x=numbers)
    for samples in ("own.npy", "double.npz"):
        result = foldbn.convert(
            path, output_dir=tmp_path, bench=False, overwrite=True, samples=tmp_path / samples
        )
        assert all(each.verification.samples == 69 for each in result.artifacts)
        assert foldbn.verify(
            path, [each.path for each in result.artifacts], samples=tmp_path / samples
        ).passed
    (port,) = onnx.load(tmp_path / "model.onnx").graph.input
    assert port.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_samples_too_great_for_the_type(ported, tmp_path):
    """Samples that the model's type, or float32, does not hold are refused."""
    _, path = ported
    np.save(tmp_path / "great.npy", np.full((2, 6), 1e39))
    with pytest.raises(BadSamples, match=r"as large as 1e\+39, more than \w+ holds"):
        foldbn.convert(
            path, output_dir=tmp_path, bench=False, samples=tmp_path / "great.npy", dry_run=True
        )

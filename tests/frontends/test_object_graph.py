"""SavedModels of Keras 3 by `tf.saved_model.save`: its variables are found by the objects."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import FoldbnError
from foldbn.frontends import loading
from foldbn.verification.reference import Evaluator
from tests import journeys

SAMPLES = np.random.default_rng(5).normal(size=(4, 6, 5)).astype(np.float32)


def _nested() -> Any:
    """Return a model whose inner models have layers, and so variables, of the same names."""
    import keras

    layers = keras.layers

    def block(name: str) -> Any:
        return keras.Sequential(
            [layers.Input((6, 5)), layers.Dense(5, name="d"), layers.BatchNormalization(name="bn")],
            name=name,
        )

    inputs = keras.Input((6, 5), name="x")
    tensor = block("second")(layers.ReLU()(block("first")(inputs)))
    tensor = layers.LSTM(4, return_sequences=True, name="lstm")(tensor)
    return keras.Model(inputs, layers.BatchNormalization(name="last")(layers.Dense(3)(tensor)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """Return a model as `tf.saved_model.save` of Keras 3 writes it, and what it predicts."""
    import tensorflow as tf

    model = journeys.randomise(_nested(), 2)
    path = tmp_path_factory.mktemp("saved") / "m"
    tf.saved_model.save(model, str(path))
    return path, model.predict(SAMPLES, verbose=0)


def test_values_are_those_of_the_model(saved):
    """Each variable has its own value, of twins by name too."""
    path, wanted = saved
    (output,) = Evaluator(loading.load(path).original)({"inputs": SAMPLES}).values()
    np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-5)


def test_it_is_converted(saved, tmp_path):
    """Its normalizations are folded, and the artefacts are proven."""
    path, _ = saved
    result = foldbn.convert(path, output_dir=tmp_path, to=("onnx",), bench=False)
    assert result.artifacts[0].verification.passed
    assert [d.outcome for d in result.decisions] == ["folded"] * 3


def test_entry_that_is_not_there(saved, tmp_path):
    """A checkpoint of another model is told by what it lacks, as for any SavedModel."""
    import keras
    import tensorflow as tf

    shutil.copytree(saved[0], tmp_path / "m")
    other = keras.Sequential([keras.Input((6, 5)), keras.layers.Dense(3)])
    tf.saved_model.save(other, str(tmp_path / "other"))
    shutil.rmtree(tmp_path / "m/variables")
    shutil.copytree(tmp_path / "other/variables", tmp_path / "m/variables")
    with pytest.raises(FoldbnError, match=r"the variable '.*' is in no checkpoint") as caught:
        loading.load(tmp_path / "m")
    assert caught.value.exit_code == 3

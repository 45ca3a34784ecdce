"""Models of a class of the user's own, in files that hold no more of them than its name."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

import foldbn
from foldbn.errors import Unsupported
from tests.journeys import randomise

DEFINITIONS = """
import keras

class Sub(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.first = keras.layers.Dense(6, name="dense")
        self.norm = keras.layers.BatchNormalization(name="batch_normalization")
        self.last = keras.layers.Dense(3, name="dense_1")

    def call(self, x):
        return self.last(keras.ops.relu(self.norm(self.first(x))))

class Words(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.rows = keras.layers.Embedding(3, 4)
        self.first = keras.layers.Dense(6)
        self.norm = keras.layers.BatchNormalization()

    def call(self, x):
        return self.norm(self.first(self.rows(x)))
"""


@pytest.fixture
def definitions(tmp_path) -> Path:
    """Return a file with the class of the models."""
    path = tmp_path / "own.py"
    path.write_text(DEFINITIONS)
    return path


def outputs(onnx_file: str, x: np.ndarray) -> np.ndarray:
    """Return what an ONNX file gives."""
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def test_of_keras_3(definitions, tmp_path):
    """The model is called on the shape that it was built for, and folds like any other."""
    known: dict[str, type[keras.Model]] = {}
    exec(DEFINITIONS, known)  # noqa: S102 - as the command does with the user's file
    model = known["Sub"](name="sub")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model(x)
    truth = np.asarray(randomise(model)(x, training=False))
    model.save(tmp_path / "m.keras")
    result = foldbn.convert(
        tmp_path / "m.keras", custom_objects=definitions, to=("onnx",), bench=False
    )
    assert [(d.layer, d.outcome) for d in result.decisions] == [("batch_normalization", "folded")]
    np.testing.assert_allclose(outputs(result.artifacts[0].path, x), truth, rtol=1e-5, atol=1e-5)
    with pytest.raises(Unsupported, match="does not know: 'Sub'"):
        foldbn.inspect(tmp_path / "m.keras")


def test_that_looks_up_rows(definitions, tmp_path):
    """Its file has no type of the input: what is called on floats is given rows all the same."""
    known: dict[str, type[keras.Model]] = {}
    exec(DEFINITIONS, known)  # noqa: S102 - as the command does with the user's file
    model = known["Words"](name="words")
    model(np.zeros((1, 5), np.int32))
    randomise(model).save(tmp_path / "m.keras")
    result = foldbn.convert(
        tmp_path / "m.keras", custom_objects=definitions, to=("onnx",), bench=False
    )
    assert result.summary.folded == 1
    x = np.random.default_rng(0).integers(0, 3, (7, 5))
    found = outputs(result.artifacts[0].path, x.astype(np.float32))
    np.testing.assert_allclose(found, np.asarray(model(x)), rtol=1e-5, atol=1e-5)


def test_of_keras_2(foreign_models, definitions, tmp_path):
    """Weights are matched once the class has been built, and give what the writer got."""
    path = foreign_models / "legacy" / "tf215" / "l_subclassed.keras"
    result = foldbn.convert(
        path, output_dir=tmp_path, custom_objects=definitions, to=("onnx",), bench=False
    )
    assert result.summary.folded == 1
    with (
        np.load(path.with_suffix(".in.npz")) as given,
        np.load(path.with_suffix(".out.npz")) as got,
    ):
        found = outputs(result.artifacts[0].path, given["x0"].astype(np.float32))
        np.testing.assert_allclose(found, got["y0"], rtol=0, atol=1e-5 * np.abs(got["y0"]).max())

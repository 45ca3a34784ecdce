"""Inputs and outputs of artefacts have the names that the model itself has for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from foldbn.errors import ConversionFailed
from tests.convert.untimed import convert
from tests.journeys import randomise

Arrays = dict[str, NDArray[Any]]
_FORMATS = ("onnx", "tflite", "savedmodel")


def run(folder: Path, stem: str, feed: Arrays) -> dict[str, Arrays]:
    """Return what each artefact gives for one sample, by its own names."""
    session = onnxruntime.InferenceSession(folder / f"{stem}.onnx")
    outputs = [each.name for each in session.get_outputs()]
    runner = Interpreter(str(folder / f"{stem}.tflite")).get_signature_runner()
    loaded = tf.saved_model.load(str(folder / f"{stem}.savedmodel"))
    served = loaded.signatures["serving_default"](**{k: tf.constant(v) for k, v in feed.items()})
    return {
        "onnx": dict(zip(outputs, session.run(outputs, feed), strict=True)),
        "tflite": runner(**feed),
        "savedmodel": {name: tensor.numpy() for name, tensor in served.items()},
    }


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_dictionaries(tmp_path, suffix):
    """Outputs go by their keys, even if these are names of other layers; so do inputs."""
    layers = keras.layers
    given = {name: keras.Input((4,), name=name) for name in ("v", "u")}
    normed = layers.BatchNormalization()(layers.Dense(4)(given["v"]))
    total = layers.Subtract()([layers.BatchNormalization()(given["u"]), normed])
    model = keras.Model(
        given, {"q": layers.Dense(3, name="p")(total), "p": layers.Dense(3, name="q")(normed)}
    )
    path = tmp_path / f"m{suffix}"
    randomise(model).save(path)
    rng = np.random.default_rng(0)
    feed = {name: rng.normal(size=(1, 4)).astype(np.float32) for name in given}
    np.savez(tmp_path / "own.npz", **{name: np.repeat(x, 4, 0) for name, x in feed.items()})
    convert(path, tmp_path, to=_FORMATS, samples=tmp_path / "own.npz")
    wanted = {name: np.asarray(x) for name, x in model(feed).items()}
    assert not np.allclose(wanted["p"], wanted["q"], atol=0.1)
    for kind, found in run(tmp_path, "m", feed).items():
        assert found.keys() == wanted.keys(), kind
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)


def test_names_that_are_none_in_python(tmp_path):
    """Spaces, colons, dots and letters of any script stand in every format, in every signature."""
    layers = keras.layers
    names = ["a in", "b.img", "x::y", "\u0432\u0445\u043e\u0434", "\u5165\u529b", "plain"]
    given = [keras.Input((4,), name=name) for name in names]
    wide = layers.Concatenate()([layers.Dense(2, use_bias=False)(tensor) for tensor in given])
    normed = layers.BatchNormalization(name="\u00e9")(wide)
    results = ["o 1", "\U0001f600"]
    outputs = [layers.Dense(units, name=name)(normed) for units, name in enumerate(results, 1)]
    model = keras.Model(given, outputs)
    randomise(model).save(tmp_path / "m.keras")
    result = convert(tmp_path / "m.keras", tmp_path, to=_FORMATS)
    assert all(artifact.verification.passed for artifact in result.artifacts)
    rng = np.random.default_rng(0)
    feed = {name: rng.normal(size=(1, 4)).astype(np.float32) for name in names}
    wanted = [np.asarray(x) for x in model(list(feed.values()))]
    for kind, found in run(tmp_path, "m", feed).items():
        assert found.keys() == set(results), kind
        for name, array in zip(results, wanted, strict=True):
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    assert {each["name"] for each in interpreter.get_input_details()} == {
        f"serving_default_{name}:0" for name in names
    }
    served = tf.saved_model.load(str(tmp_path / "m.savedmodel")).signatures["serving_default"]
    assert set(served.structured_input_signature[1]) == set(names)


def test_a_backslash(tmp_path):
    """TensorFlow writes graphs with a name that it does not read again: none of them is such."""
    inputs = keras.Input((4,), name="x\\y")
    normed = keras.layers.BatchNormalization()(keras.layers.Dense(2)(inputs))
    randomise(keras.Model(inputs, normed)).save(tmp_path / "m.keras")
    result = convert(tmp_path / "m.keras", tmp_path, to=_FORMATS)
    assert all(artifact.verification.passed for artifact in result.artifacts)


def test_inputs_that_are_one_to_tensorflow(tmp_path):
    """TensorFlow cannot tell two inputs apart that differ in punctuation: told before it tries."""
    given = [keras.Input((4,), name=name) for name in ("a b", "a.b")]
    model = keras.Model(given, keras.layers.Dense(2)(keras.layers.Subtract()(given)))
    randomise(model).save(tmp_path / "m.keras")
    with pytest.raises(ConversionFailed, match=r"'a b' and 'a\.b' are one to") as caught:
        convert(tmp_path / "m.keras", tmp_path, to=("savedmodel",))
    assert "rename one of the two layers" in caught.value.hint
    result = convert(tmp_path / "m.keras", tmp_path, to=("onnx", "tflite"))
    assert all(artifact.verification.passed for artifact in result.artifacts)

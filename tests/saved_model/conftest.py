"""Models, and one conversion that many tests look at, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from tests.journeys import randomise
from tests.saved_model.directories import convert


@pytest.fixture(scope="session")
def two_ports() -> Any:
    """Return a model with two inputs of awkward names, two outputs and 1 MB of weights."""
    import keras

    left, right = keras.Input((300,), name="input-1"), keras.Input((40,), name="2.right")
    layers = keras.layers
    wide = layers.Dense(800, activation="relu", name="wide")(left)
    normed = layers.BatchNormalization(name="bn")(wide)
    one = layers.Dense(3, name="one")(normed)
    two = layers.Dense(3, name="two")(layers.BatchNormalization(name="bn_right")(right))
    total = layers.Add(name="sum")([one, two])
    return randomise(keras.Model([left, right], [total, layers.Softmax(name="kind")(total)]))


@pytest.fixture(scope="session")
def path(two_ports, tmp_path_factory) -> Path:
    """Return the file of the model with two ports."""
    path = tmp_path_factory.mktemp("models") / "two_ports.keras"
    two_ports.save(path)
    return path


@pytest.fixture(scope="session")
def converted(path, tmp_path_factory) -> foldbn.Conversion:
    """Return the conversion of the model with two ports."""
    return convert(path, tmp_path_factory.mktemp("converted"))


@pytest.fixture(scope="session")
def folder(converted) -> Path:
    """Return the SavedModel of the model with two ports."""
    return Path(converted.artifacts[0].path)


@pytest.fixture(scope="session")
def several(tmp_path_factory) -> Path:
    """Return a SavedModel with the signatures ``encode``, ``decode``, ``classify`` and ``text``.

    The first two share a kernel of 1 MB; ``text`` takes strings.
    """
    import tensorflow as tf

    rng = np.random.default_rng(7)

    def draw(*shape: int) -> Any:
        return tf.Variable(rng.normal(size=shape).astype(np.float32))

    class Coder(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.small = draw(500, 500), draw(500, 4)
            self.scale, self.shift = draw(500), draw(500)

        @tf.function(input_signature=[tf.TensorSpec((None, 500), name="picture")])
        def encode(self, picture: Any) -> Any:
            return {"code": tf.nn.relu(picture @ self.kernel * self.scale + self.shift)}

        @tf.function(input_signature=[tf.TensorSpec((None, 500), name="code")])
        def decode(self, code: Any) -> Any:
            return {"picture": tf.tanh(code @ self.kernel)}

        @tf.function(input_signature=[tf.TensorSpec((2, 500), name="code")])
        def classify(self, code: Any) -> Any:
            return {"kind": (code * self.scale + self.shift) @ self.small}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="words")])
        def text(self, words: Any) -> Any:
            return {"length": tf.strings.length(words)}

    model = Coder()
    path = tmp_path_factory.mktemp("models") / "coder"
    names = ("encode", "decode", "classify", "text")
    tf.saved_model.save(model, str(path), signatures={name: getattr(model, name) for name in names})
    return path

"""Layers of SavedModels have the names that the user gave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import journeys


def _subclassed() -> Any:
    """Return a model of a class of its own, two blocks of which one is a layer of layers."""
    import keras

    layers = keras.layers

    class Block(layers.Layer):
        def __init__(self, name: str) -> None:
            super().__init__(name=name)
            self.conv = layers.Conv2D(4, 3, name="conv_b")
            self.norm = layers.BatchNormalization(name="bn_b")

        def call(self, x: Any) -> Any:
            return self.norm(self.conv(x))

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.first = layers.Conv2D(4, 3, name="conv_a")
            self.second = layers.BatchNormalization(name="bn_a")
            self.third = Block("block")
            self.fourth = layers.Dense(2, name="dense_7")

        def call(self, x: Any) -> Any:
            return self.fourth(self.third(keras.ops.relu(self.second(self.first(x)))))

    model = Model()
    model(np.zeros((1, 8, 8, 3), np.float32))
    return journeys.randomise(model)


def _plain() -> Any:
    import keras

    layers = keras.layers
    return journeys.randomise(
        keras.Sequential(
            [
                layers.Input((8, 8, 3)),
                layers.Rescaling(0.1, name="scaled"),
                layers.ReLU(name="relu_3"),
                layers.Conv2D(4, 3, name="conv"),
                layers.BatchNormalization(name="bn_2"),
            ]
        )
    )


def _export(model: Any, path: Path) -> None:
    model.export(path, verbose=False)


def _save(model: Any, path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(model, str(path))


@pytest.fixture(params=[_export, _save], ids=["export", "save"])
def write(request) -> Any:
    """Return a way to write a SavedModel."""
    return request.param


def test_subclassed(tmp_path, write):
    """Layers that the variables do not name are told apart by the scopes of their ops."""
    write(_subclassed(), tmp_path / "m")
    journey = journeys.of_file(tmp_path / "m")
    assert journey.told == "bn_a folded backward into conv_a; bn_b folded backward into conv_b"
    assert journey.max_rel() < 1e-9


def test_one_block(tmp_path, write):
    """One convolution and one normalization are two layers, though no name occurs twice."""
    import keras

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.conv = keras.layers.Conv2D(4, 3, name="the_conv")
            self.norm = keras.layers.BatchNormalization(name="the_norm")

        def call(self, x: Any) -> Any:
            return self.norm(self.conv(x))

    model = Model()
    model(np.zeros((1, 8, 8, 3), np.float32))
    write(journeys.randomise(model), tmp_path / "m")
    assert journeys.of_file(tmp_path / "m").told == "the_norm folded backward into the_conv"


def test_scopes_of_keras_3(tmp_path, write):
    """Name scopes of Keras 3 are the layer's name and a number, whoever wrote the directory."""
    write(_plain(), tmp_path / "m")
    told = journeys.of_file(tmp_path / "m").told
    assert told == "scaled folded forward into conv across relu_3; bn_2 folded backward into conv"


def test_two_kernels_of_one_layer(tmp_path, write):
    """A layer with two weights of one name is one layer."""
    import keras

    class Twice(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.one = self.add_weight(shape=(shape[-1], 3), name="kernel")
            self.two = self.add_weight(shape=(3, 3), name="kernel")

        def call(self, x: Any) -> Any:
            return keras.ops.matmul(keras.ops.matmul(x, self.one), self.two)

    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((4,)), Twice(name="twice"), layers.BatchNormalization(name="bn")]
    )
    write(journeys.randomise(model), tmp_path / "m")
    assert journeys.of_file(tmp_path / "m").told == "bn folded backward into twice"

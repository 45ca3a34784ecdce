"""Layers that take positions of their input, or mix none: maps cross each, as Keras writes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import journeys
from tests.journeys import randomise

SERIES, IMAGE, VOLUME = (6, 3), (6, 6, 3), (4, 4, 4, 2)
CROSSED: dict[str, tuple[tuple[int, ...], Any]] = {
    "Cropping1D": (SERIES, lambda layers: layers.Cropping1D((1, 2), name="op")),
    "Cropping2D": (IMAGE, lambda layers: layers.Cropping2D(((1, 0), (2, 1)), name="op")),
    "Cropping3D": (VOLUME, lambda layers: layers.Cropping3D(1, name="op")),
    "UpSampling1D": (SERIES, lambda layers: layers.UpSampling1D(2, name="op")),
    "UpSampling2D": (IMAGE, lambda layers: layers.UpSampling2D((2, 3), name="op")),
    "UpSampling3D": (VOLUME, lambda layers: layers.UpSampling3D(2, name="op")),
    "bilinear": (IMAGE, lambda layers: layers.UpSampling2D(2, None, "bilinear", name="op")),
    "Resizing": (IMAGE, lambda layers: layers.Resizing(4, 7, name="op")),
    "nearest": (IMAGE, lambda layers: layers.Resizing(4, 7, "nearest", name="op")),
    "CenterCrop": (IMAGE, lambda layers: layers.CenterCrop(4, 4, name="op")),
    "AveragePooling3D": (VOLUME, lambda layers: layers.AveragePooling3D(2, name="op")),
    "padded AveragePooling3D": (
        VOLUME,
        lambda layers: layers.AveragePooling3D(3, 2, "same", name="op"),
    ),
}
INACTIVE = {
    "Dropout": lambda layers: layers.Dropout(0.5),
    "SpatialDropout1D": lambda layers: layers.SpatialDropout1D(0.5),
    "GaussianNoise": lambda layers: layers.GaussianNoise(0.5),
    "GaussianDropout": lambda layers: layers.GaussianDropout(0.5),
    "AlphaDropout": lambda layers: layers.AlphaDropout(0.5),
    "ActivityRegularization": lambda layers: layers.ActivityRegularization(0.1),
}
FUNCTIONS = {
    "x[:, 1:5:2]": lambda _, x: x[:, 1:5:2],
    "x[:, -1]": lambda _, x: x[:, -1],
    "x[..., ::2]": lambda _, x: x[..., ::2],
    "tile": lambda ops, x: ops.tile(x, (1, 2, 1)),
    "flip": lambda ops, x: ops.flip(x, axis=1),
    "flip channels": lambda ops, x: ops.flip(x, axis=-1),
    "reflect": lambda ops, x: ops.pad(x, ((0, 0), (1, 2), (0, 0)), mode="reflect"),
    "sum": lambda ops, x: ops.sum(x, axis=1),
    "mean": lambda ops, x: ops.mean(x, axis=1, keepdims=True),
    "repeat": lambda ops, x: ops.repeat(x, 2, axis=1),
    "roll": lambda ops, x: ops.roll(x, 2, axis=1),
    "roll channels": lambda ops, x: ops.roll(x, -1, axis=2),
    "stack": lambda ops, x: ops.stack([x, ops.flip(x, axis=1)], axis=2),
    "unstack": lambda ops, x: ops.unstack(x, axis=1)[2],
    "slice": lambda ops, x: ops.slice(x, (0, 1, 0), (ops.shape(x)[0] or -1, 3, 3)),
}
CURVES = {
    "sigmoid": "Sigmoid is not linear",
    "tanh": "Tanh is not linear",
    "softmax": "Softmax is not linear",
    "elu": "Elu is not linear",
    "selu": "Selu is not linear",
    "softplus": "Softplus is not linear",
    "softsign": "Softsign is not linear",
    "exponential": "Exp is not linear",
    "relu6": "ReLU6 clips at 6",
    "silu": "SiLU is not linear",
    "gelu": "GELU is not linear",
    "mish": "Mish is not linear",
    "hard_silu": "hard swish is not linear",
    "hard_tanh": "Maximum clips at a constant",
    "threshold at 1": "SelectV2 chooses by values",
}


def _between(shape: tuple[int, ...], change: Any) -> Any:
    """Return Dense, the change, a normalization and Dense; tanh keeps the map from going on."""
    import keras

    x = keras.Input(shape)
    y = keras.layers.Dense(4, name="before")(x)
    y = keras.layers.BatchNormalization(name="bn")(change(y))
    return randomise(keras.Model(x, keras.layers.Activation("tanh")(y)))


@pytest.mark.parametrize("name", CROSSED)
def test_layer_is_crossed(name):
    """A normalization per channel goes back across the layer into the dense one before it."""
    import keras

    shape, make = CROSSED[name]
    journey = journeys.of_keras(_between(shape, make(keras.layers)))
    assert journey.told == "bn folded backward into before across op"
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("name", INACTIVE)
def test_nothing_is_left_of_what_only_training_knows(name):
    """Noise and dropout are gone at inference, and maps cross them unseen."""
    import keras

    journey = journeys.of_keras(_between(SERIES, INACTIVE[name](keras.layers)))
    assert journey.told == "bn folded backward into before"
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_crossed(name):
    """The same holds for functions of keras.ops and for slices."""
    import keras

    journey = journeys.of_keras(_between(SERIES, lambda y: FUNCTIONS[name](keras.ops, y)))
    assert journey.outcomes == {"bn": "folded"}
    assert journey.decisions["bn"].into == ("before",)
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("name", CURVES)
def test_curve_is_a_wall_that_says_why(name):
    """An activation that is not piecewise linear lets nothing by, and the reason is its own."""
    import keras

    rectifier = keras.layers.ReLU(threshold=1)
    layer = rectifier if name.startswith("threshold") else keras.layers.Activation(name)
    model = _between((5,), layer)
    decision = journeys.of_keras(model).decisions["bn"]
    assert decision.outcome != "folded"
    assert CURVES[name] in decision.reason


def test_embedding_takes_a_normalization():
    """Every row of the table is normalized once and for all."""
    import keras

    x = keras.Input((5,), dtype="int32")
    y = keras.layers.Embedding(11, 4, name="embedding")(x)
    y = keras.layers.BatchNormalization(name="bn")(y)
    model = randomise(keras.Model(x, keras.layers.Activation("tanh")(y)))
    journey = journeys.of_keras(model)
    assert journey.told == "bn folded backward into embedding"
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("kind", ["Conv1DTranspose", "Conv3DTranspose"])
def test_transposed_convolution_of_any_rank(kind):
    """A normalization after a transposed convolution is part of its kernel and bias."""
    import keras

    shape = {"Conv1DTranspose": SERIES, "Conv3DTranspose": VOLUME}[kind]
    x = keras.Input(shape)
    y = getattr(keras.layers, kind)(5, 3, 2, "same", name="conv")(x)
    model = randomise(keras.Model(x, keras.layers.BatchNormalization(name="bn")(y)))
    journey = journeys.of_keras(model)
    assert journey.told == "bn folded backward into conv"
    assert journey.max_rel() <= 1e-9


def test_product_with_a_constant_from_the_left():
    """A scale that is the same for all rows becomes part of the constant."""
    import keras

    x = keras.Input((4, 3))
    y = keras.layers.Rescaling(0.3, name="half")(keras.layers.Activation("tanh")(x))
    mixer = np.random.default_rng(0).normal(size=(1, 5, 4)).astype(np.float32)[0]
    y = keras.ops.matmul(mixer, y)
    model = randomise(keras.Model(x, keras.layers.Dense(2, name="after")(y)))
    journey = journeys.of_keras(model)
    assert journey.outcomes["half"] == "folded"
    assert "Mul" not in {node.op for node in journey.model.graph_def.node}
    assert journey.max_rel() <= 1e-9


EQUATIONS = {
    "abc,cd->abd": ((None, 5), "d"),
    "abc,cde->abde": ((None, 2, 5), "de"),
    "abc,bd->adc": ((5, 3), "d"),
    "abc,bcd->ad": ((5,), "d"),
    "abc,bcd->abd": ((4, 5), "bd"),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_dense(equation):
    """An EinsumDense takes a normalization of its result that its kernel has the labels of."""
    import keras

    shape, bias_axes = EQUATIONS[equation]
    x = keras.Input((4, 3))
    y = keras.layers.EinsumDense(equation, shape, bias_axes=bias_axes, name="dense")(x)
    axis = 1 if equation == "abc,bd->adc" else -1
    model = randomise(keras.Model(x, keras.layers.BatchNormalization(axis=axis, name="bn")(y)))
    journey = journeys.of_keras(model)
    assert journey.told == "bn folded backward into dense"
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("equation", [each for each in EQUATIONS if each != "abc,bd->adc"])
def test_einsum_dense_takes_what_comes_before(equation):
    """A normalization before an EinsumDense goes into its kernel and bias."""
    import keras

    shape, bias_axes = EQUATIONS[equation]
    x = keras.Input((4, 3))
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Activation("tanh")(x))
    y = keras.layers.EinsumDense(equation, shape, bias_axes=bias_axes, name="dense")(y)
    journey = journeys.of_keras(randomise(keras.Model(x, y)))
    assert journey.told == "bn folded forward into dense"
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize(("kind", "channels"), [("space_to_depth", 4), ("depth_to_space", 4)])
def test_squares_to_channels(kind, channels):
    """A map that is the same for all pixels of a square crosses the change of their layout."""
    import keras
    import tensorflow as tf

    class Shuffle(keras.layers.Layer):
        def call(self, x):
            return getattr(tf.nn, kind)(x, 2)

    x = keras.Input((4, 4, channels))
    y = keras.layers.Rescaling(0.3, 0.1, name="affine")(keras.layers.Activation("tanh")(x))
    y = Shuffle(name="shuffle")(y)
    model = keras.Model(x, keras.layers.Conv2D(3, 2, name="after")(y))
    journey = journeys.of_keras(randomise(model))
    assert journey.told == "affine folded forward into after across shuffle"
    assert journey.max_rel() <= 1e-9


def test_split():
    """A map goes on into every part of a split, and each part takes its own slice."""
    import keras

    x = keras.Input((5, 6))
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Activation("tanh")(x))
    parts = keras.ops.split(y, [1, 4], axis=-1)
    ends = [keras.layers.Dense(2, name=f"d{i}")(part) for i, part in enumerate(parts)]
    journey = journeys.of_keras(randomise(keras.Model(x, ends)))
    assert journey.decisions["bn"].into == ("d0", "d1", "d2")
    assert journey.max_rel() <= 1e-9


def test_split_of_which_a_part_goes_unread():
    """A part that nobody reads needs nothing."""
    import keras

    x = keras.Input((5, 6))
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Activation("tanh")(x))
    last = keras.ops.split(y, 3, axis=-1)[2]
    journey = journeys.of_keras(randomise(keras.Model(x, keras.layers.Dense(2, name="d")(last))))
    assert journey.decisions["bn"].into == ("d",)
    assert journey.max_rel() <= 1e-9

"""Activations that runtimes have as one op reach them whole, whatever folds around them."""

from __future__ import annotations

import pytest

from foldbn import export, ops
from tests import journeys
from tests.journeys import randomise

ACTIVATIONS = {
    "silu": "SiLU",
    "hard_silu": "hard swish",
    "gelu": "GELU",
    "gelu_approximate": "GELU",
    "mish": "Mish",
}


def _activated(name):
    """Return a convolution, the activation, a normalization, the activation, a convolution."""
    import keras

    def activate(y):
        if name == "gelu_approximate":
            return keras.activations.gelu(y, approximate=True)
        return keras.layers.Activation(name)(y)

    x = keras.Input((6, 6, 3))
    y = activate(keras.layers.Conv2D(4, 3, name="before")(x))
    y = activate(keras.layers.BatchNormalization(name="bn")(y))
    return randomise(keras.Model(x, keras.layers.Conv2D(2, 3, name="after")(y)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_one_op(name):
    """Each of both is read as one wall, and the normalization between them is one op."""
    journey = journeys.of_keras(_activated(name))
    walls = [n.op.title for n in journey.reading.graph if isinstance(n.op, ops.Opaque)]
    assert walls == [ACTIVATIONS[name]] * 2
    assert journey.outcomes == {"bn": "lowered"}
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize(("name", "fused"), [("hard_silu", "HARD_SWISH"), ("gelu", "GELU")])
def test_tflite_fuses_it_as_before(name, fused):
    """The converter finds as many activations in the folded graph as in the original."""
    journey = journeys.of_keras(_activated(name))
    counts = [
        export.statistics_of(export.export(model, "tflite", None, 18)).ops.get(fused)
        for model in (journey.loaded.simplified, journey.model.rounded())
    ]
    assert counts == [2, 2]


def test_gate_that_others_read_is_none():
    """Where the gate itself is wanted elsewhere, its nodes stay apart."""
    import keras

    x = keras.Input((5,))
    y = keras.layers.Dense(4)(x)
    gate = keras.ops.sigmoid(y)
    journey = journeys.of_keras(keras.Model(x, [y * gate, gate]))
    walls = [n.op.title for n in journey.reading.graph if isinstance(n.op, ops.Opaque)]
    assert walls == ["Sigmoid"]


def test_gate_of_another_tensor_is_none():
    """A product with a curve of something else is a product."""
    import keras

    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(4, 3)(x)
    z = keras.layers.Conv2D(4, 3, activation="sigmoid")(x)
    journey = journeys.of_keras(keras.Model(x, y * z))
    assert any(isinstance(node.op, ops.Multiply) for node in journey.reading.graph)


def test_argument_of_a_custom_gradient_may_go():
    """A normalization before SiLU folds, though the gradient's wrapper names what it gave."""
    import keras

    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(4, 3, name="before")(x)
    y = keras.layers.BatchNormalization(name="bn")(y)
    y = keras.layers.Conv2D(2, 3, name="after")(keras.layers.Activation("silu")(y))
    journey = journeys.of_keras(randomise(keras.Model(x, y)))
    assert journey.told == "bn folded backward into before"
    assert journey.max_rel() <= 1e-9
    assert "IdentityN" not in {node.op for node in journey.model.graph_def.node}


def test_a_layer_inside_is_told():
    """A Rescaling between x and its own sigmoid is a layer of the user's, whatever it computes."""
    import keras

    x = keras.Input((4,))
    curve = keras.layers.Activation("sigmoid")(keras.layers.Rescaling(1.7, name="scale")(x))
    journey = journeys.of_keras(keras.Model(x, keras.layers.Multiply()([x, curve])))
    assert journey.outcomes == {"scale": "lowered"}

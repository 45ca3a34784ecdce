"""What a model needs at least, told from its configuration."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from foldbn.errors import Unsafe
from foldbn.frontends.budget import bounded, check_tensors
from foldbn.frontends.demand import demand
from tests.frontends.configurations import DENSE, HUGE, layer, stack


def models() -> list[Any]:
    """Return models of all kinds of layers whose weights and shapes are counted."""
    import keras

    layers = keras.layers
    x = keras.Input((7, 5, 3))
    shared, active = layers.Dense(4), layers.Activation("relu")
    one = active(shared(x))
    two = active(layers.Flatten()(shared(layers.MaxPooling2D(2)(x))))
    y = layers.Concatenate()([layers.Flatten()(one), layers.Dense(9)(two)])
    y = layers.UpSampling1D(3)(layers.ZeroPadding1D((1, 2))(layers.Reshape((-1, 1))(y)))
    y = layers.LSTM(4, return_sequences=True)(layers.Permute((2, 1))(y))
    attended = layers.PReLU()(layers.MultiHeadAttention(2, 5)(y, y))
    z = layers.Dense(3)(layers.Bidirectional(layers.GRU(3))(y))
    deep = keras.Sequential(
        [
            keras.Input((3, 8, 8, 2)),
            layers.ConvLSTM2D(4, 3),
            layers.SeparableConv2D(5, 3, depth_multiplier=2),
            layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
            layers.Conv2DTranspose(3, 3),
            layers.Conv2D(6, 1, groups=3),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Flatten(),
            layers.RepeatVector(3),
            layers.TimeDistributed(layers.Dense(4)),
            layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]),
            layers.Dense(2),
        ]
    )
    words = keras.Sequential(
        [keras.Input((5,)), layers.Embedding(50, 8), layers.Conv1D(4, 3), layers.SimpleRNN(3)]
    )
    channels = keras.Sequential(
        [
            keras.Input((3, 8, 8)),
            layers.Conv2D(4, 3, data_format="channels_first"),
            layers.MaxPooling2D(2, data_format="channels_first"),
            layers.Conv2D(2, 3, data_format="channels_first"),
        ]
    )
    return [keras.Model(x, [z, attended]), deep, words, channels]


def test_a_lower_bound():
    """What is counted is never more than what Keras makes, and for plain stacks it is near."""
    import keras

    for model in (*models(), keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3))):
        asked = demand(json.loads(model.to_json()))
        assert 0 < asked.weights <= model.count_params()
        greatest = max(
            math.prod(length or 1 for length in tensor.shape[1:])
            for each in model._flatten_layers()
            for node in each._inbound_nodes
            for tensor in node.outputs
        )
        assert asked.largest <= greatest
    assert asked.weights > 0.95 * model.count_params()


def test_a_layer_in_two_models_counts_once():
    """A layer that the file marks as the same in two places is counted in the first."""
    one = {**layer("Dense", units=1000), "shared_object_id": 7}
    inner = stack([1000], one)
    assert demand(stack([1000], inner, inner)).weights == 10**6
    other = stack([1000], layer("Dense", units=1000))
    assert demand(stack([1000], other, other)).weights == 2 * 10**6


def test_a_layer_called_twice_gives_no_certain_shape():
    """What a layer gives at its first call is not taken for what it gives at its second."""
    import keras

    active = keras.layers.Activation("relu")
    wide, narrow = keras.Input((5000,)), keras.Input((2,))
    outputs = [active(wide), keras.layers.Dense(5000, use_bias=False)(active(narrow))]
    model = keras.Model([wide, narrow], outputs)
    assert demand(json.loads(model.to_json())).weights <= model.count_params() == 10_000


def test_layers_of_the_user_are_not_judged():
    """Of a user's own Dense nothing is certain."""
    assert demand(stack([HUGE], DENSE), {"Dense"}).weights == 0


@pytest.mark.parametrize(
    "config",
    [None, [], 7, {"class_name": 3}, stack([None, -1, "x"]), {"config": [1, [2]]}],
    ids=str,
)
def test_configurations_that_are_none(config):
    """What is no configuration asks for nothing; others refuse it."""
    assert demand(config).weights == 0


def test_while_a_model_is_built():
    """A weight that arithmetic did not foresee is refused before memory is taken for it."""
    import keras

    def build() -> Any:
        x = keras.Input((HUGE,))
        return keras.layers.Dense(HUGE)(keras.layers.Lambda(lambda y: y)(x))

    with bounded(10**6, "model"), pytest.raises(Unsafe, match="asks for more weights"):
        build()
    with bounded(10**6, "model"):
        keras.layers.Dense(700)(keras.Input((1000,)))
    keras.layers.Dense(1200)(keras.Input((1000,)))  # no limit any more


def test_tensors_of_a_built_model():
    """A layer that would give a tensor of terabytes is refused before the model is run."""
    import keras

    x = keras.Input((10, 10, 3))
    inner = keras.Model(x, keras.ops.sum(keras.ops.tile(x, [1, 10**4, 10**4, 1]), axis=[1, 2]))
    outer = keras.Sequential([keras.Input((10, 10, 3)), inner])
    layered = keras.Sequential([keras.Input((10, 10, 3)), keras.layers.UpSampling2D(10**4)])
    for model in (inner, outer, layered):
        with pytest.raises(Unsafe, match=r"30,000,000,000 numbers"):
            check_tensors(model, "model")
    check_tensors(keras.Model(x, keras.ops.sum(x)), "model")

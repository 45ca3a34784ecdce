"""Loops of recurrent layers take a normalization into the kernel that their steps meet first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import journeys
from tests.journeys import randomise

LAYERS = {
    "LSTM": lambda layers: layers.LSTM(4, name="loop"),
    "LSTM with sequences": lambda layers: layers.LSTM(4, return_sequences=True, name="loop"),
    "GRU": lambda layers: layers.GRU(4, name="loop"),
    "GRU with one bias": lambda layers: layers.GRU(4, reset_after=False, name="loop"),
    "SimpleRNN": lambda layers: layers.SimpleRNN(4, name="loop"),
    "backwards": lambda layers: layers.GRU(4, go_backwards=True, name="loop"),
    "unrolled": lambda layers: layers.LSTM(4, unroll=True, name="loop"),
}


def _recurrent(layer, *, shape=(6, 3)):
    """Return tanh, a normalization, the layer and a dense one."""
    import keras

    x = keras.Input(shape)
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Activation("tanh")(x))
    return randomise(keras.Model(x, keras.layers.Dense(2, name="after")(layer(y))))


@pytest.mark.parametrize("name", LAYERS)
def test_loop_takes_a_normalization(name):
    """The map goes into kernel and bias of the loop, and every step computes what it did."""
    import keras

    journey = journeys.of_keras(_recurrent(LAYERS[name](keras.layers)))
    assert journey.decisions["bn"].outcome == "folded"
    assert journey.decisions["bn"].into == ("loop",)
    assert journey.max_rel() <= 1e-9


def test_both_directions_take_it():
    """Each of the two loops of a bidirectional layer takes the whole map."""
    import keras

    both = keras.layers.Bidirectional(keras.layers.LSTM(4, name="loop"))
    journey = journeys.of_keras(_recurrent(both))
    assert journey.decisions["bn"].into == ("forward_loop", "backward_loop")
    assert journey.max_rel() <= 1e-9


def test_loop_without_bias_takes_no_shift():
    """There is nothing that a shift could be added to at every step."""
    import keras

    model = _recurrent(keras.layers.LSTM(4, use_bias=False, name="loop"))
    decision = journeys.of_keras(model).decisions["bn"]
    assert decision.outcome == "lowered"
    assert "no bias for the shift" in decision.reason


def test_loop_without_bias_takes_a_scale():
    """A scale alone goes into the kernel."""
    import keras

    x = keras.Input((6, 3))
    y = keras.layers.Rescaling(-0.3, name="scale")(keras.layers.Activation("tanh")(x))
    y = keras.layers.LSTM(4, use_bias=False, name="loop")(y)
    journey = journeys.of_keras(keras.Model(x, y))
    assert journey.told == "scale folded forward into loop"
    assert journey.max_rel() <= 1e-9


def test_map_of_the_state_stays():
    """A normalization of the first state is not one of the steps."""
    import keras

    x, s = keras.Input((6, 3)), keras.Input((4,))
    state = keras.layers.BatchNormalization(name="bn")(keras.layers.Activation("tanh")(s))
    y = keras.layers.GRU(4, name="loop")(x, initial_state=state)
    journey = journeys.of_keras(randomise(keras.Model([x, s], y)))
    assert journey.outcomes == {"bn": "lowered"}
    assert journey.max_rel() <= 1e-9


def test_sequence_that_is_both_steps_and_state_stays():
    """A map that arrives with the steps and with the state goes into neither."""
    import keras

    x = keras.Input((6, 4))
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Activation("tanh")(x))
    y = keras.layers.GRU(4, name="loop")(y, initial_state=y[:, 0])
    journey = journeys.of_keras(randomise(keras.Model(x, y)))
    assert journey.outcomes["bn"] == "lowered"
    assert journey.max_rel() <= 1e-9


def test_convolutional_loop_is_a_wall():
    """What a loop does with its steps must be the product with a kernel."""
    import keras

    x = keras.Input((3, 5, 5, 2))
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Activation("tanh")(x))
    y = keras.layers.ConvLSTM2D(2, 2, name="loop")(y)
    journey = journeys.of_keras(randomise(keras.Model(x, y)))
    assert journey.outcomes == {"bn": "lowered"}
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("name", ["LSTM", "GRU with one bias", "backwards"])
def test_loop_goes_to_both_formats(name, tmp_path):
    """ONNX and TFLite files of a recurrent network run, and compute the original."""
    import keras

    import foldbn

    _recurrent(LAYERS[name](keras.layers)).save(tmp_path / "loop.keras")
    result = foldbn.convert(tmp_path / "loop.keras", bench=False)
    assert result.summary.folded == 1
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]


def _loop_that_returns(what: str, folder: Path) -> Path:
    """Save a loop of tanh(x[t] W + b) that also hands on what it computed on the way."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    module = tf.Module()
    for name, shape in {"kernel": (4, 4), "bias": (4,), "scale": (4,), "shift": (4,)}.items():
        setattr(module, name, tf.Variable(rng.normal(size=shape).astype(np.float32), name=name))

    def call(x: Any) -> dict[str, Any]:
        steps = tf.transpose(x * module.scale + module.shift, [1, 0, 2])
        taken = tf.TensorArray(tf.float32, 6, element_shape=[None, 4]).unstack(steps)
        given = tf.TensorArray(tf.float32, 6, element_shape=[None, 4])

        def body(t: Any, given: Any, before: Any) -> Any:
            item = taken.read(t)
            product = tf.matmul(item, module.kernel)
            result = tf.tanh(product + module.bias) + before
            return t + 1, given.write(t, result), item if what == "step" else product

        nothing = tf.zeros([tf.shape(x)[0], 4])
        given = tf.while_loop(lambda t, *_: t < 6, body, [0, given, nothing])[1]
        return {"y": tf.transpose(given.stack(), [1, 0, 2])}

    spec = tf.TensorSpec([None, 6, 4], tf.float32, name="x")
    module.serve = tf.function(call, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, folder, signatures=module.serve.get_concrete_function())
    return folder


@pytest.mark.parametrize("what", ["step", "product"])
def test_a_loop_that_hands_on_what_the_map_would_change(what, tmp_path):
    """What a step returns is read by the next one as well."""
    journey = journeys.of_file(_loop_that_returns(what, tmp_path / "m"))
    assert "folded" not in journey.outcomes.values()
    assert journey.max_rel() <= 1e-9

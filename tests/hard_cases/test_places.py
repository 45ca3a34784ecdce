"""Hard cases 13 to 15: what stands beside a normalization, and who else reads it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.hard_cases.proving import outcomes, prove, stack
from tests.journeys import randomise


@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str
)
def test_13_negative_zero_and_missing_scale(tmp_path, options):
    """Normalization before ReLU folds with any scale, and with weights left out."""
    import keras

    layers = keras.layers
    norm = layers.BatchNormalization(name="bn", **options)
    model = stack((6, 6, 3), layers.Conv2D(5, 3, name="conv"), norm, layers.ReLU())
    if norm.gamma is not None:
        assert norm.gamma.numpy().min() < 0
        assert (norm.gamma.numpy() == 0).any()
    result = prove(model, tmp_path)
    assert outcomes(result) == {"bn": "folded"}
    assert result.decisions[0].into == ("conv",)


def test_14_after_relu(tmp_path):
    """A normalization after ReLU is not folded back into the convolution before it."""
    import keras

    layers = keras.layers
    conv = layers.Conv2D(5, 3, activation="relu", name="conv")
    model = stack((6, 6, 3), conv, layers.BatchNormalization(name="bn"), scales="positive")
    result = prove(model, tmp_path)
    assert outcomes(result)["bn"] in ("kept", "lowered")
    assert "ReLU lets no shift by" in result.decisions[0].reason


def test_14_before_padding(tmp_path):
    """A normalization before a padded convolution is not folded, and the borders are right."""
    import keras

    layers = keras.layers
    conv = layers.Conv2D(5, 3, padding="same", name="conv")
    model = stack((6, 6, 3), layers.BatchNormalization(name="bn"), conv)
    result = prove(model, tmp_path)
    assert outcomes(result)["bn"] in ("kept", "lowered")
    assert "pads its input with zeros" in result.decisions[0].reason
    images = np.random.default_rng(4).normal(size=(2, 6, 6, 3)).astype(np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(result.artifacts[0].path)
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    wanted = model.predict(images, verbose=0)
    for border in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        np.testing.assert_allclose(found[border], wanted[border], rtol=1e-4, atol=1e-5)


def test_15_two_consumers(tmp_path):
    """A normalization that two layers read goes into both of them or into none."""
    import keras

    layers = keras.layers
    inputs = keras.Input((6, 6, 3))
    normed = layers.BatchNormalization(name="free")(inputs)
    branches = [layers.Conv2D(4, 3, name=name)(normed) for name in ("one", "two")]
    again = layers.BatchNormalization(name="bound")(layers.Add()(branches))
    active = layers.Activation("tanh")(again)
    normed = layers.BatchNormalization(name="stays")(active)
    plain = layers.Conv2D(2, 3, name="plain")(normed)
    padded = layers.Conv2D(2, 3, padding="same", name="padded")(normed)
    result = prove(randomise(keras.Model(inputs, [plain, padded])), tmp_path)
    found = {decision.layer: decision for decision in result.decisions}
    assert found["free"].outcome == "folded"
    assert set(found["free"].into) == {"one", "two"}
    assert set(found["bound"].into) == {"one", "two"}
    assert found["stays"].outcome in ("kept", "lowered")


def test_15_output_beside_the_normalization(tmp_path):
    """A layer whose output is also the model's keeps its weights."""
    import keras

    layers = keras.layers
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, name="dense")(inputs)
    normed = layers.BatchNormalization(name="bn")(hidden)
    model = randomise(keras.Model(inputs, [hidden, layers.Activation("tanh")(normed)]))
    result = prove(model, tmp_path)
    assert outcomes(result)["bn"] in ("kept", "lowered")
    assert "also an output of the model" in result.decisions[0].reason


def test_15_shared_dense(tmp_path):
    """A layer called twice has each call's normalization folded into a copy of its own."""
    import keras

    layers = keras.layers
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    shared = layers.Dense(3, name="shared")
    normed = [
        layers.BatchNormalization(name=f"bn_{name}")(shared(tensor))
        for name, tensor in (("left", left), ("right", right))
    ]
    model = randomise(keras.Model([left, right], layers.Concatenate()(normed)))
    result = prove(model, tmp_path)
    assert set(outcomes(result).values()) <= {"folded", "kept", "lowered"}
    assert outcomes(result) == {"bn_left": "folded", "bn_right": "folded"}


def test_15_normalization_called_twice(tmp_path):
    """A normalization called twice is decided for each call."""
    import keras

    layers = keras.layers
    inputs = keras.Input((4,))
    norm = layers.BatchNormalization(name="bn")
    first = layers.ReLU()(norm(layers.Dense(3, name="one")(inputs)))
    second = norm(layers.Dense(3, activation="tanh", name="two")(first))
    model = randomise(keras.Model(inputs, layers.Activation("sigmoid")(second)))
    decisions = prove(model, tmp_path).decisions
    assert [decision.layer for decision in decisions] == ["bn", "bn"]
    assert [decision.outcome for decision in decisions] == ["folded", "lowered"]

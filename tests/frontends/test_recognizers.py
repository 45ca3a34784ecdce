"""Constructs of frozen graphs, read from small models: what folds, and that no number changes."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.frontends.frozen import FrozenModel, Port
from tests import journeys
from tests.frontends.arithmetic import ARITHMETIC
from tests.frontends.building import Model, make
from tests.frontends.models import MODELS
from tests.journeys import randomise


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_model(model):
    """Each construct folds as far as mathematics allows, and computes the same afterwards."""
    journey = journeys.of_keras(randomise(make(model), seed=3))
    assert journey.told == model.told
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("build", ARITHMETIC.values(), ids=ARITHMETIC)
def test_arithmetic(build):
    """Arithmetic with a constant is an affine layer, in either order of its operands."""
    journey = journeys.of_keras(make(Model(build, (5,), "")))
    (decision,) = journey.folding.decisions
    assert (decision.kind, decision.outcome) == ("Affine", "folded")
    assert decision.into == ("after",)
    assert journey.max_rel() <= 1e-9


def test_constant_over_variable():
    """A constant divided by a tensor is no affine map, and none moves past it."""
    import keras

    tensor = keras.Input((3,), name="x")
    shifted = keras.ops.add(keras.ops.multiply(tensor, tensor), 1.0)
    model = keras.Model(tensor, keras.layers.Dense(2)(keras.ops.divide(2.0, shifted)))
    journey = journeys.of_keras(model)
    assert set(journey.outcomes.values()) <= {"kept", "lowered"}
    assert len(journey.outcomes) >= 1
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("name", ["dilated conv", "conv 1d", "dense rank 3"])
def test_a_layer_is_not_crossed_by_what_it_takes(name):
    """A layer of several ops that takes a map is not listed as crossed by it as well."""
    (decision,) = journeys.of_keras(randomise(make(MODELS[name]))).folding.decisions
    assert decision.outcome == "folded"
    assert not set(decision.into) & set(decision.across)


@pytest.mark.parametrize("kind", ["MaxPooling2D", "GlobalMaxPooling2D"])
def test_positive_scale_crosses_max_pooling(kind):
    """A map whose scales are all positive moves back through max pooling."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, name="conv"),
            getattr(keras.layers, kind)(name="pool"),
            keras.layers.BatchNormalization(name="bn"),
        ]
    )
    journey = journeys.of_keras(randomise(model, scales="positive"))
    assert journey.told == "bn folded backward into conv across pool"
    assert journey.max_rel() <= 1e-9


def test_output_is_the_normalization_itself():
    """A normalization that is the model's output and input both stays, with both reasons."""
    journey = journeys.of_keras(randomise(make(MODELS["norm alone"])))
    reason = journey.decisions["bn"].reason
    assert "backward: no layer stands before it, only the model's input" in reason
    assert "forward: an output of the model comes next" in reason


def test_scale_alone_goes_into_a_padded_convolution():
    """Zeros stay zeros under a scale, so padding stops the shift only."""
    import keras

    norm = keras.layers.BatchNormalization(center=False, name="bn")
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), norm, keras.layers.Conv2D(4, 3, padding="same", name="conv")]
    )
    randomise(model)
    norm.moving_mean.assign(np.zeros(3))
    journey = journeys.of_keras(model)
    assert journey.told == "bn folded forward into conv"
    assert journey.max_rel() <= 1e-9


def _fused(layout: str, *, training: bool = False, taken: str = "") -> FrozenModel:
    """Return a convolution and a FusedBatchNormV3, which sees NCHW where `layout` says so.

    Gamma is called `taken`.
    """
    import tensorflow as tf

    rng = np.random.default_rng(5)
    gamma, beta, mean = rng.normal(size=(3, 4)).astype(np.float32)
    variance = rng.uniform(0.2, 2, 4).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
    statistics = (mean[:0], mean[:0]) if training else (mean, variance)
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (None, 7, 7, 2), name="x")
        y = tf.nn.conv2d(x, kernel, 1, "VALID", name="conv")
        if layout == "NCHW":
            y = tf.transpose(y, (0, 3, 1, 2), name="to_nchw")
        parts = [tf.constant(part) for part in (gamma, beta, *statistics)]
        if taken:
            parts[0] = tf.constant(gamma, name=taken)
        y = tf.raw_ops.FusedBatchNormV3(
            x=y,
            scale=parts[0],
            offset=parts[1],
            mean=parts[2],
            variance=parts[3],
            epsilon=1e-3,
            data_format=layout,
            is_training=training,
            name="bn",
        )[0]
        if layout == "NCHW":
            y = tf.transpose(y, (0, 2, 3, 1), name="to_nhwc")
        tf.identity(y, name="y")
    return FrozenModel(
        graph.as_graph_def(),
        (Port("x", "x", (None, 7, 7, 2), "float32"),),
        (Port("y", "y", (None, 5, 5, 4), "float32"),),
    )


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_fused_batch_norm(layout):
    """FusedBatchNormV3 folds into the convolution before it, in both layouts."""
    journey = journeys.of_frozen(_fused(layout))
    (decision,) = journey.folding.decisions
    assert (decision.outcome, decision.direction, decision.into) == (
        "folded",
        "backward",
        ("conv",),
    )
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("taken", ["bn/scale", "conv/kernel", "conv/bias", "conv/BiasAdd"])
def test_names_that_are_taken(taken):
    """A node may have a name that foldbn would give to one of its own."""
    assert journeys.of_frozen(_fused("NHWC", taken=taken)).max_rel() <= 1e-9


def test_fused_batch_norm_in_training_mode():
    """A fused normalization that takes its statistics from the batch is no affine map."""
    journey = journeys.of_frozen(_fused("NHWC", training=True))
    assert journey.folding.decisions == ()
    assert "FusedBatchNormV3" in journey.shown


def test_inference_whatever_the_layer_was_called_with():
    """Keras predicts with every layer at inference, one called with training=True as well."""
    import keras

    tensor = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(3, name="first")(tensor)
    normed = keras.layers.BatchNormalization(name="bn")(hidden, training=True)
    model = randomise(keras.Model(tensor, keras.layers.Dense(2, name="last")(normed)))
    journey = journeys.of_keras(model)
    for reference in journey.references():
        predicted = model.predict(reference.samples["x"], verbose=0)
        np.testing.assert_allclose(reference.single["last"], predicted, rtol=1e-5, atol=1e-6)
    assert journey.max_rel() <= 1e-9


def test_layer_normalization_is_not_folded():
    """LayerNormalization depends on its input, so only what is constant in it is affine."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="dense"),
            keras.layers.LayerNormalization(name="ln"),
            keras.layers.Dense(2, name="after"),
        ]
    )
    weights = keras.random.normal((3,), seed=1)
    model.get_layer("ln").gamma.assign(weights)
    journey = journeys.of_keras(model)
    into = [name for decision in journey.folding.decisions for name in decision.into]
    assert "dense" not in into
    assert journey.max_rel() <= 1e-9

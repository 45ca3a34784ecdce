"""Layers that Keras writes out once for each step: their steps lie behind the batch axis again."""

from __future__ import annotations

import pytest

from tests import journeys
from tests.journeys import randomise


def _wrapped(inner, shape, *, before: bool):
    """Return a model with an inner layer at each step, and a normalization beside it."""
    import keras

    x = keras.Input(shape)
    y = keras.layers.Activation("tanh")(x)
    normalization = keras.layers.BatchNormalization(name="bn")
    step = keras.layers.TimeDistributed(inner, name="steps")
    y = step(normalization(y)) if before else normalization(step(y))
    return randomise(keras.Model(x, keras.layers.Activation("tanh")(y)))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "shape"), [("Dense", (5, 3)), ("Conv2D", (3, 4, 5, 2))])
def test_layer_at_each_step_takes_a_normalization(kind, shape, before):
    """All steps share one kernel, and take the map into it at once."""
    import keras

    inner = keras.layers.Dense(4, name="inner")
    if kind == "Conv2D":
        inner = keras.layers.Conv2D(4, 2, name="inner")
    journey = journeys.of_keras(_wrapped(inner, shape, before=before))
    direction = "forward" if before else "backward"
    assert journey.told == f"bn folded {direction} into inner across steps"
    assert journey.max_rel() <= 1e-9
    kernels = {
        node.input[1] for node in journey.model.graph_def.node if node.op in ("MatMul", "Conv2D")
    }
    assert len(kernels) == 1


def test_normalization_at_each_step_folds():
    """A normalization inside TimeDistributed is one map of the whole sequence."""
    import keras

    x = keras.Input((3, 5))
    y = keras.layers.Dense(4, name="dense")(x)
    y = keras.layers.TimeDistributed(keras.layers.BatchNormalization(name="bn"))(y)
    model = keras.Model(x, keras.layers.Activation("tanh")(y))
    randomise(model)
    journey = journeys.of_keras(model)
    assert journey.told == "bn folded backward into dense"
    assert journey.max_rel() <= 1e-9


def test_no_transpose_is_left():
    """Neither the steps nor their results are turned around any more."""
    import keras

    model = _wrapped(keras.layers.Dense(4), (5, 3), before=False)
    journey = journeys.of_keras(model)
    assert "Transpose" in {node.op for node in journey.loaded.original.graph_def.node}
    assert "Transpose" not in {node.op for node in journey.model.graph_def.node}


def test_steps_that_are_also_read_whole_stay():
    """A transposed sequence that something else reads as well is left as it is."""
    import keras

    x = keras.Input((5, 3))
    turned = keras.ops.transpose(keras.layers.Dense(4)(x), (1, 0, 2))
    one = keras.layers.Dense(2)(turned[3])
    whole = keras.ops.sum(keras.ops.tanh(turned), axis=0)
    journey = journeys.of_keras(randomise(keras.Model(x, [one, whole])))
    assert "Transpose" in {node.op for node in journey.model.graph_def.node}
    assert journey.max_rel() <= 1e-9

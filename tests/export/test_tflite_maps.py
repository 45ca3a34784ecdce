"""Maps per channel, which TFLite has one op for when vectors and volumes are seen as images."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from foldbn.export import to_tflite
from foldbn.export.tflite_maps import with_maps_of_images
from foldbn.verification.reference import Evaluator
from foldbn.verification.runtimes import load_artifact
from tests import journeys
from tests.hard_cases.proving import stack

VOLUME = (3, 4, 5, 2)
FORMS = {
    "vector": ((6,), 1),
    "batch of vectors": ((6,), 3),
    "any batch of vectors": ((6,), None),
    "one number": ((1,), None),
    "one by one": (VOLUME, 1),
    "batch": (VOLUME, 3),
    "any batch": (VOLUME, None),
    "open lengths": ((None, 4, None, 2), 1),
    "open lengths of any batch": ((3, None, None, 2), None),
    "four axes": ((2, *VOLUME), None),
}


def _exported(batch, shape, *layers):
    """Return the ops of layers behind a tanh in TFLite, which computes what TensorFlow does."""
    import keras

    model = journeys.of_keras(stack(shape, keras.layers.Activation("tanh"), *layers)).model
    content = to_tflite(model, batch_size=batch)
    name = model.inputs[0].name
    x = np.random.default_rng(0).normal(size=(3, *(n or 6 for n in shape))).astype(np.float32)
    (found,) = load_artifact(content, "", "").run({name: x}).values()
    (wanted,) = Evaluator(model)({name: x}).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    return Counter(op["op_name"] for op in Interpreter(model_content=content)._get_ops_details())


@pytest.mark.parametrize("form", FORMS)
def test_map_is_one_op(form):
    """It is a depthwise convolution with its ReLU fused, whatever lengths are open."""
    from keras import layers

    shape, batch = FORMS[form]
    found = _exported(batch, shape, layers.BatchNormalization(), layers.ReLU())
    assert found["DEPTHWISE_CONV_2D"] == 1
    assert found.keys().isdisjoint({"MUL", "ADD", "RELU"})


@pytest.mark.parametrize(("last", "fused"), [("relu6", True), ("sigmoid", False)])
def test_what_comes_next(last, fused):
    """Another activation stays behind the volume."""
    from keras import layers

    found = _exported(1, VOLUME, layers.BatchNormalization(), layers.Activation(last))
    assert found["DEPTHWISE_CONV_2D"] == 1
    assert ("LOGISTIC" in found) != fused


def test_map_that_is_returned():
    """The last layer of a model is a map like others."""
    from keras import layers

    assert _exported(1, VOLUME, layers.BatchNormalization())["DEPTHWISE_CONV_2D"] == 1


def test_other_maps_stay():
    """What is read in between, varies along another axis, or is of integers is left alone."""
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input(VOLUME)
    number = keras.ops.cast(x * 4, "int32")
    per_row = np.random.default_rng(0).normal(size=(4, 1, 1)).astype("f4")
    scaled = keras.ops.tanh(x) * np.array([2, -3], "f4")
    outputs = {
        "between": scaled + np.array([1, 2], "f4") + keras.ops.sin(scaled),
        "rows": keras.ops.tanh(x) * per_row + per_row,
        "integers": number * np.array([2, 3], "i4") + np.array([4, 5], "i4"),
    }
    model = journeys.of_keras(keras.Model(x, outputs)).model
    assert with_maps_of_images(model).graph_def == model.graph_def


def test_sum_that_is_returned_before_its_relu():
    """What a frozen graph returns by its own name is still there; the ReLU is not fused."""
    import keras

    x = keras.Input(VOLUME)
    mapped = keras.ops.tanh(x) * np.array([2, -3], "f4") + np.array([1, 2], "f4")
    model = journeys.of_keras(keras.Model(x, keras.ops.relu(mapped))).model
    (total,) = (node.input[0] for node in model.graph_def.node if node.op == "Relu")
    early = replace(model, outputs=(replace(model.outputs[0], node=total),))
    kinds = {node.name: node.op for node in with_maps_of_images(early).graph_def.node}
    assert total in kinds
    assert "Relu" in kinds.values()

"""Functions that TFLite computes of great numbers as well."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from foldbn.export import to_tflite
from tests import journeys

NUMBERS = np.array([0, 1e-3, 0.5, 5, 17, 88, 90, 200, 1e4, 1e20], "f4")


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    """Return a model of 20 numbers with three activations made of softplus."""
    import keras

    x = keras.Input((2 * len(NUMBERS),), name="x")
    names = ("softplus", "log_sigmoid", "mish")
    outputs = {name: keras.layers.Activation(name)(x) for name in names}
    content = to_tflite(journeys.of_keras(keras.Model(x, outputs)).model)
    return Interpreter(model_content=content)


def test_softplus_of_great_numbers(interpreter):
    """They are computed where exp(x) would overflow, up to what adding them to one rounds away.

    Adding to one rounds away 6e-8, and mish multiplies that by up to 17.
    """
    x = np.concatenate([NUMBERS, -NUMBERS])
    softplus = np.logaddexp(0, x.astype("f8"))
    expected = {
        "softplus": softplus,
        "log_sigmoid": -np.logaddexp(0, -x.astype("f8")),
        "mish": x * np.tanh(softplus),
    }
    found = interpreter.get_signature_runner()(x=x[None])
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name][0], wanted, rtol=1e-6, atol=2e-6, err_msg=name)


def test_mish_keeps_its_form(interpreter):
    """Where a tanh follows, nothing is added: two of the three are written out."""
    kinds = [op["op_name"] for op in interpreter._get_ops_details()]
    assert kinds.count("LOGISTIC") == 2
    assert kinds.count("LOG") == 3

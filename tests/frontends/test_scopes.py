"""Layers that Keras lets be called what TensorFlow takes for no scope."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from foldbn.frontends.scopes import with_scope_names
from tests.journeys import of_keras, randomise

NAMES = ["a b", "\u00e9", "<x>", "_x", "x:0", "[0]"]


def model(name: str) -> Any:
    """Return a model that is called `name`, and so are its input and its normalization."""
    keras.backend.clear_session()
    inputs = keras.Input((3,), name=f"{name} in")
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name=name)], name=f"{name}+")
    tensor = keras.layers.BatchNormalization(name=f"{name} bn")(keras.layers.Dense(4)(inputs))
    return randomise(keras.Model(inputs, inner(tensor), name=name))


@pytest.mark.parametrize("name", NAMES)
def test_reports_and_ports_have_the_names_of_the_file(name):
    """TensorFlow meets another name; the user never does."""
    journey = of_keras(model(name))
    assert [port.name for port in journey.model.inputs] == [f"{name} in"]
    assert journey.outcomes == {f"{name} bn": "folded"}
    assert journey.decisions[f"{name} bn"].into == ("dense",)
    assert journey.max_rel() < 1e-9


def test_only_what_must_be_renamed_is():
    """Names that differ in what TensorFlow refuses stay apart."""
    tensor = inputs = keras.Input((3,), name="in")
    for name in ("x_a_b", "-a b", "-a-b", "_a_b", "fine.name-1"):
        tensor = keras.layers.Dense(3, name=name)(tensor)
    found = keras.Model(inputs, tensor, name="model")
    assert with_scope_names(found) == {
        "x-a_b": "-a b",
        "x-a-b": "-a-b",
        "x_a_b_1": "_a_b",
    }
    assert [layer.name for layer in found.layers if layer.name[0] != "x"] == ["in", "fine.name-1"]


def test_layers_without_a_name():
    """A layer whose name is empty gets one, in the report and as a port, which must have some."""
    keras.backend.clear_session()
    inputs = keras.Input((3,), name="in")
    tensor = keras.layers.Dense(4, name="dense")(inputs)
    outputs = keras.layers.BatchNormalization(name="bn")(tensor)
    model = randomise(keras.Model(inputs, outputs))
    for layer in model.layers:
        layer.name = "" if layer.name in ("in", "bn") else layer.name
    journey = of_keras(model)
    assert [port.name for port in journey.model.inputs] == ["unnamed"]
    assert [port.name for port in journey.model.outputs] == ["unnamed_1"]
    assert journey.outcomes == {"unnamed_1": "folded"}

"""Keras models that cannot become a graph say why, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends.keras_files import _explain, freeze_model


def test_layer_that_asks_for_open_sizes():
    """Keras writes bilinear upsampling for known sizes only: the message says which are open."""
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((None, None, 3), name="x"), layers.UpSampling2D(interpolation="bilinear")]
    )
    with pytest.raises(Unsupported, match="while sizes of its inputs are open: UpSampling2D") as e:
        freeze_model(model)
    assert "x (None, None, None, 3)" in e.value.message
    assert "fixed size" in e.value.hint
    assert "symbolic" not in e.value.message


def test_layer_that_decides_in_python():
    """A layer that asks for its own numbers is told, with what to write instead."""

    class Gate(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x if keras.ops.sum(x) > 0 else -x

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape, x.dtype)

    inputs = keras.Input((3,))
    with pytest.raises(Unsupported, match="Gate decides on its own numbers in Python") as caught:
        freeze_model(keras.Model(inputs, Gate()(inputs)))
    assert "tf.cond" in caught.value.hint


def test_a_file_that_keras_cannot_load_is_told_without_colours():
    """Keras writes in bold; what it says at the end stays, and the name that it does not know."""
    told = "".join(f" {number}" for number in range(200))
    refusal = _explain(Path("m.keras"), ValueError(f"\x1b[1mIt is wrong:{told}\x1b[0m"))
    assert "\x1b" not in refusal.message
    assert "ValueError: It is wrong: 0 1" in refusal.message
    assert refusal.message.endswith("198 199")
    unknown = _explain(Path("m.keras"), TypeError(f"\x1b[1mCould not locate class 'A'{told}"))
    assert "does not know: 'A'" in unknown.message


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (lambda p, q: [p, q], ["p", "q"]),
        (lambda p, q: {"q": p, "p": q}, ["p", "q"]),
        (lambda _, q: {"only": q}, ["only"]),
        (lambda p, q: {"b c": p, "\u00fc::": q}, ["b c", "\u00fc::"]),
        (lambda p, _: {"twice": p, "again": p}, ["again", "twice"]),
        (lambda p, q: {"n": {"z": p, "a": [p, q]}, "m": q}, ["m", "n.a.0", "n.a.1", "n.z"]),
        (lambda p, q: [{"z": p}, q], ["0.z", "q"]),
        (lambda p, _: {"": p}, ["p"]),
        (lambda p, q: {"x": p, "x_1": q}, ["x_2", "x_1"]),
    ],
)
def test_outputs_have_the_keys_of_their_dictionary(shape, names):
    """What a model returns under a key is called so; what it returns in a list, by its layer."""
    inputs = keras.Input((3,), name="x")
    layers = [keras.layers.Dense(units, name=name)(inputs) for units, name in ((2, "p"), (5, "q"))]
    model = keras.Model(inputs, shape(*layers))
    found = freeze_model(model).outputs
    assert [port.name for port in found] == names
    widths = [tensor.shape[-1] for tensor in keras.tree.flatten(model.outputs)]
    assert [port.shape[-1] for port in found] == widths

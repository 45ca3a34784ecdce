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

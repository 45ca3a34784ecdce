"""Layers that a file calls in training mode are refused where that changes what they compute."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import foldbn
from foldbn.errors import Unsupported
from tests.frontends.calls import assert_refused
from tests.journeys import randomise

LAYERS = keras.layers


def _inner() -> Any:
    x = keras.Input((4,))
    y = LAYERS.BatchNormalization(name="norm")(LAYERS.Dense(4)(x))
    return keras.Model(x, y, name="called")


REFUSED = {
    "BatchNormalization": lambda: LAYERS.BatchNormalization(name="called"),
    "Dropout": lambda: LAYERS.Dropout(0.5, name="called"),
    "GaussianNoise": lambda: LAYERS.GaussianNoise(0.1, name="called"),
    "AlphaDropout": lambda: LAYERS.AlphaDropout(0.1, name="called"),
    "a model inside": _inner,
}
ACCEPTED = {
    "Dropout of nothing": lambda: LAYERS.Dropout(0.0),
    "frozen": lambda: LAYERS.BatchNormalization(trainable=False),
    "Dense": lambda: LAYERS.Dense(4),
}


def _save(path: Any, make: Any, **options: Any) -> Any:
    x = keras.Input((4,))
    y = make()(LAYERS.BatchNormalization(name="first")(x), **options)
    randomise(keras.Model(x, LAYERS.Dense(2)(y))).save(path)
    return path


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, make, suffix):
    """The layer is named, in files of both kinds."""
    path = _save(tmp_path / f"m.{suffix}", make, training=True)
    assert_refused(path, Unsupported, r"layer 'called' \(\w+\) .* is called with training=True")


def test_refused_inside(tmp_path):
    """A call within an inner model counts too."""

    def inner() -> Any:
        x = keras.Input((4,))
        return keras.Model(x, LAYERS.Dropout(0.5, name="called")(x, training=True), name="m")

    path = _save(tmp_path / "m.keras", inner)
    assert_refused(path, Unsupported, "layer 'called'")


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(tmp_path, make):
    """What computes the same in training and at inference may be called so."""
    path = _save(tmp_path / "m.keras", make, training=True)
    assert "first" in {each.layer for each in foldbn.inspect(path).decisions}


def test_augmentation_is_always_called_so(tmp_path):
    """Keras writes the argument into each call of a layer that augments, whoever made it."""
    x = keras.Input((4, 4, 3))
    y = LAYERS.BatchNormalization(name="first")(LAYERS.RandomFlip()(x, training=True))
    path = tmp_path / "m.keras"
    randomise(keras.Model(x, LAYERS.Conv2D(2, 1)(y))).save(path)
    assert len(foldbn.inspect(path).decisions) == 1


@pytest.mark.parametrize("training", [False, None])
def test_called_at_inference(tmp_path, training):
    """A layer that is called at inference by name is one like others."""
    path = _save(tmp_path / "m.keras", REFUSED["BatchNormalization"], training=training)
    assert len(foldbn.inspect(path).decisions) == 2

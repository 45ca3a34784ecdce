"""One conversion that many tests look at, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

import foldbn
from tests.convert.untimed import convert
from tests.journeys import randomise


@pytest.fixture(scope="session")
def two_ports(tmp_path_factory) -> Path:
    """Return a model with inputs ``left`` and ``right`` and outputs ``sum`` and ``kind``."""
    import keras

    left, right = keras.Input((3,), name="left"), keras.Input((4,), name="right")
    layers = keras.layers
    normed = [
        layers.BatchNormalization(name=f"bn_{name}")(layers.Dense(4, name=name)(tensor))
        for name, tensor in (("one", left), ("two", right))
    ]
    total = layers.Add(name="sum")(normed)
    kind = layers.Dense(2, activation="softmax", name="kind")(total)
    path = tmp_path_factory.mktemp("models") / "two_ports.keras"
    randomise(keras.Model([left, right], [total, kind])).save(path)
    return path


@pytest.fixture(scope="session")
def converted(two_ports, tmp_path_factory) -> foldbn.Conversion:
    """Return the conversion of `two_ports` with all options at their defaults but timing."""
    return convert(two_ports, tmp_path_factory.mktemp("converted"))

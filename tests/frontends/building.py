"""Small Keras models, built from makers of their layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Build = Callable[[Any, Any], Any]


class Model(NamedTuple):
    """How to go on from the input, given ``keras.layers``; the input's shape; the outcome."""

    build: Build
    shape: tuple[int, ...]
    told: str


def make(model: Model) -> Any:
    """Return the Keras model."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    inputs = keras.Input(model.shape, name="x")
    return keras.Model(inputs, model.build(keras.layers, inputs))


def chain(*makers: Callable[[Any], Any]) -> Build:
    """Return a builder that applies layers one after the other."""

    def build(layers: Any, tensor: Any) -> Any:
        for maker in makers:
            tensor = maker(layers)(tensor)
        return tensor

    return build


def norm(name: str = "bn", **options: Any) -> Callable[[Any], Any]:
    """Return a maker of a normalization."""
    return lambda layers: layers.BatchNormalization(name=name, **options)


def layer(kind: str, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
    """Return a maker of a layer of `kind`."""
    return lambda layers: getattr(layers, kind)(*arguments, **options)

"""A Keras layer around a function of tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def function_layer(kind: str, function: Callable[..., Any], name: str | None) -> Any:
    """Return a layer that calls `function` with whatever it is itself called with.

    Args:
        kind: class that the layer shows itself as, the one the file names.
        function: of tensors, and of numbers and strings besides.
        name: of the layer.
    """
    return _layer_class(kind)(function, name=name)


@dataclass(frozen=True)
class _Pattern:
    """The arguments of a call, with a number in the place of each tensor.

    Keras 3 wants an argument to hold tensors alone or none at all. A call like
    ``reshape(x, shape=[batch, 24])``, where `batch` is a tensor, is passed through Keras as its
    tensors and its pattern.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def fill(self, tensors: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with tensors in their places."""
        args, kwargs = _replaced(
            (self.args, self.kwargs), _Place, lambda place: tensors[place.index]
        )
        return args, kwargs


@dataclass(frozen=True)
class _Place:
    index: int


def _replaced(value: Any, kinds: Any, replace: Callable[[Any], Any]) -> Any:
    if isinstance(value, kinds):
        return replace(value)
    if isinstance(value, dict):
        return {key: _replaced(each, kinds, replace) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(each, kinds, replace) for each in value)
    return value


def _parted(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], _Pattern]:
    import keras
    import tensorflow as tf

    tensors: list[Any] = []

    def take(tensor: Any) -> _Place:
        tensors.append(tensor)
        return _Place(len(tensors) - 1)

    places = _replaced((args, kwargs), (keras.KerasTensor, tf.Tensor, tf.Variable), take)
    return tensors, _Pattern(*places)


@functools.cache
def _layer_class(kind: str) -> Any:
    import keras

    class FunctionLayer(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, function: Callable[..., Any], **options: Any) -> None:
            # Keras 2 cast nothing on the way into such a layer.
            super().__init__(autocast=False, **options)
            self._function = function
            self.built = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(kwargs.get("pattern"), _Pattern):
                tensors, pattern = _parted(args, kwargs)
                return super().__call__(tensors, pattern=pattern)
            return super().__call__(*args, **kwargs)  # as Keras calls it when a model runs

        def call(self, tensors: list[Any], pattern: _Pattern) -> Any:
            args, kwargs = pattern.fill(tensors)
            return self._function(*args, **kwargs)

    FunctionLayer.__name__ = FunctionLayer.__qualname__ = kind
    return FunctionLayer

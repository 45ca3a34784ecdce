"""Activations by the names and in the forms in which Keras 1 and 2 stored them."""

from __future__ import annotations

from typing import Any

from foldbn.frontends.definitions import stranger
from foldbn.frontends.legacy.context import Rebuilding

# tf.nn functions are stored under the names of their second versions.
_RENAMED = {"softmax_v2": "softmax", "log_softmax_v2": "log_softmax", "swish": "silu"}
_FUNCTIONS = ("function", "builtin_function_or_method")


def activation(stored: Any, rebuilding: Rebuilding) -> Any:
    """Return the function, or the layer, that `stored` stands for.

    A file has a name, or ``{"class_name": "function", "config": name}``, or a whole layer.

    Raises:
        Unsupported: neither Keras nor the user's file has it.
    """
    if stored is None or callable(stored):
        return stored
    if isinstance(stored, dict):
        kind = str(stored.get("class_name"))
        if kind in _FUNCTIONS or not isinstance(stored.get("config"), dict):
            return activation(stored.get("registered_name") or stored.get("config"), rebuilding)
        if kind.rpartition(">")[2] in rebuilding.own and not stored["config"]:
            return rebuilding.own[kind.rpartition(">")[2]]
        return rebuilding.build(stored)
    return _by_name(str(stored).rpartition(">")[2], rebuilding)


def _by_name(name: str, rebuilding: Rebuilding) -> Any:
    import keras

    if name in rebuilding.own:
        return rebuilding.own[name]
    if name == "hard_sigmoid" and rebuilding.writer.major < 3:
        from foldbn.frontends.legacy.layers import hard_sigmoid

        return hard_sigmoid
    function = getattr(keras.activations, _RENAMED.get(name, name), None)
    # The module holds get and deserialize as well.
    if (
        not callable(function)
        or isinstance(function, type)
        or name in ("get", "deserialize", "serialize")
    ):
        raise stranger(rebuilding.source, name)
    return function

"""Call rebuilt layers the way Keras 3 wants it."""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsupported, said
from foldbn.frontends.legacy.context import Rebuilding
from foldbn.frontends.legacy.nodes import Call, Reference, replace_references
from foldbn.frontends.legacy.values import plain

_STATEFUL_INPUT = ("RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional")
_AS_STORED = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")


def call_layer(
    layer: Any, call: Call, tensors: dict[Reference, Any], rebuilding: Rebuilding
) -> list[Any]:
    """Call `layer` once and return its outputs, flattened.

    Args:
        layer: a layer, model or operation of Keras 3.
        call: what the file says of the call.
        tensors: of the calls before.
        rebuilding: of the model.

    Raises:
        Unsupported: Keras 3 cannot call it so.
    """
    import keras

    args = [replace_references(arg, tensors.__getitem__) for arg in call.args]
    kwargs = {key: replace_references(arg, tensors.__getitem__) for key, arg in call.kwargs.items()}
    if rebuilding.writer.major >= 3:
        args, kwargs = keras_3_values(args), keras_3_values(kwargs)
    elif type(layer).__name__ not in _AS_STORED:
        args, kwargs = _adapt(layer, args, kwargs, rebuilding)
    if isinstance(layer, keras.Model) and args:
        flat = _flat_inputs(layer, args[0], rebuilding)
        args[0] = flat[0] if len(flat) == 1 else flat
    try:
        outputs = layer(*args, **kwargs)
    except Exception as error:  # whatever a layer can raise when it is called
        raise Unsupported(
            f"layer {rebuilding.original(layer)!r} ({type(layer).__name__}) of"
            f" {rebuilding.source!r} cannot be called as the file says: {said(error)}",
            "give foldbn a SavedModel of the model",
        ) from error
    found: list[Any] = keras.tree.flatten(outputs)
    return found


def keras_3_values(value: Any) -> Any:
    """Return arguments of Keras 3 with its serialized objects as what they stand for."""
    import keras

    if isinstance(value, dict) and isinstance(value.get("class_name"), str):
        return keras.saving.deserialize_keras_object(value, safe_mode=True)
    if isinstance(value, dict):
        return {key: keras_3_values(each) for key, each in value.items()}
    if isinstance(value, list):
        return [keras_3_values(each) for each in value]
    return value


def _adapt(
    layer: Any, args: list[Any], kwargs: dict[str, Any], rebuilding: Rebuilding
) -> tuple[list[Any], dict[str, Any]]:
    """Drop what means nothing at inference, and hand on initial states by their name."""
    kept = {}
    for key, value in kwargs.items():
        if key == "training":
            _check_training(layer, value, rebuilding)
        elif value is not None:
            kept[key] = plain(value)
    recurrent = any(each.__name__ in _STATEFUL_INPUT for each in type(layer).__mro__)
    convolutional = type(layer).__name__.startswith("ConvLSTM")
    if (recurrent or convolutional) and isinstance(args[0], list):
        args, kept["initial_state"] = [args[0][0]], args[0][1:]
    return args, kept


def _check_training(layer: Any, value: Any, rebuilding: Rebuilding) -> None:
    if value not in (None, False, 0):
        raise Unsupported(
            f"layer {rebuilding.original(layer)!r} ({type(layer).__name__}) of"
            f" {rebuilding.source!r} is called with training=True, at inference as well",
            "build the model without it, or give foldbn a SavedModel of it",
        )


def _flat_inputs(model: Any, given: Any, rebuilding: Rebuilding) -> list[Any]:
    """Return the inputs of a nested model in its own order."""
    import keras

    keys = rebuilding.input_keys.get(id(model))
    if isinstance(given, dict) and keys and set(keys) <= set(given):
        return [given[key] for key in keys]
    return list(keras.tree.flatten(given))

"""Models of a class of the user's own, which have no symbolic inputs until they are called."""

from __future__ import annotations

from typing import Any


def called_as_built(model: Any, config: Any) -> Any:
    """Return a model as a Functional one around it, called on the shape that it was built for.

    Args:
        model: of Keras 3; it may be a Functional one already.
        config: of the file; its ``build_config`` has the shape of the only input, batch first.

    Returns:
        The Functional model, or `model` itself where there is nothing to do or no such shape.
    """
    import keras

    built = config.get("build_config") if isinstance(config, dict) else None
    shape = built.get("input_shape") if isinstance(built, dict) else None
    if getattr(model, "inputs", None) or not isinstance(model, keras.Model):
        return model
    if not isinstance(shape, list) or len(shape) < 2 or not all(map(_is_length, shape)):
        return model
    inputs = keras.Input(tuple(shape[1:]), name="input")
    outputs = model(inputs, training=False)
    return keras.Model(inputs, outputs, name=f"{model.name}_called")


def _is_length(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value > 0)

"""Rebuild Sequential models."""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.legacy.context import Rebuilding
from foldbn.frontends.legacy.graphs import input_of, is_functional
from foldbn.frontends.legacy.values import dtype_name, plain

_FLOATS = ("mixed_float16", "mixed_bfloat16")


def sequential(entry: dict[str, Any], rebuilding: Rebuilding) -> Any:
    """Return a Sequential model of Keras 3 with an input, where the file says of what shape.

    Keras 1 and the first versions of Keras 2 write a bare list of layers. Until TF 2.2 there is no
    InputLayer: the first layer has the shape, and the input is named after it.
    """
    import keras

    config = entry["config"]
    layers, name = (
        (config, None) if isinstance(config, list) else (config["layers"], config.get("name"))
    )
    options = {} if name is None else {"name": rebuilding.name_for(name)}
    if layers and layers[0]["class_name"] == "Merge":
        return _merged(layers, options, rebuilding)
    source, layers = _source(config, layers, rebuilding)
    made = [rebuilding.build(layer) for layer in layers]
    model = keras.Sequential([*source, *made], **options)
    rebuilding.parts[id(model)] = made
    return model


def _source(
    config: Any, layers: list[dict[str, Any]], rebuilding: Rebuilding
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the input as a list of one or none, and the layers behind it."""
    import keras

    if not layers:
        return [], []
    first = layers[0]
    if first["class_name"] == "InputLayer":
        return [input_of(first, rebuilding)], layers[1:]
    shape, dtype = _first_shape(first)
    if shape is None and isinstance(config, dict) and config.get("build_input_shape"):
        # The shape it was first called on; its batch was one of many.
        shape = [None, *plain(config["build_input_shape"])[1:]]
    if not isinstance(shape, list):
        return [], layers
    name = rebuilding.name_for(f"{_name_of(first)}_input")
    return [keras.Input(batch_shape=tuple(shape), dtype=dtype, name=name)], layers


def _first_shape(entry: dict[str, Any]) -> tuple[Any, Any]:
    """Return shape and type of what a layer or model takes, as far as it says."""
    config = entry["config"]
    if entry["class_name"] == "Sequential":
        layers = config if isinstance(config, list) else config["layers"]
        return _first_shape(layers[0]) if layers else (None, None)
    if is_functional(entry):
        inputs = [each for each in config["layers"] if each["class_name"] == "InputLayer"]
        return _first_shape(inputs[0]) if len(inputs) == 1 else (None, None)
    dtype = dtype_name(config.get("input_dtype", config.get("dtype")))
    shape = plain(config.get("batch_input_shape", config.get("batch_shape")))
    if shape is None and isinstance(config.get("layer"), dict):
        return _first_shape(config["layer"])
    return shape, "float32" if dtype in _FLOATS else dtype


def _name_of(entry: dict[str, Any]) -> str:
    config = entry["config"]
    stored = entry.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return str(stored or entry["class_name"].lower())


def _merged(layers: list[dict[str, Any]], options: dict[str, Any], rebuilding: Rebuilding) -> Any:
    """Return a Sequential model of Keras 1 that begins with a Merge of others."""
    import keras

    branches = [rebuilding.build(branch) for branch in layers[0]["config"]["layers"]]
    if not all(getattr(branch, "inputs", None) for branch in branches):
        raise Unsupported(f"{rebuilding.source!r} merges models of unknown input shape")
    merge = rebuilding.build(layers[0])
    made = [merge, *(rebuilding.build(layer) for layer in layers[1:])]
    x: Any = [branch.outputs[0] for branch in branches]
    for layer in made:
        x = layer(x)
    inputs = [tensor for branch in branches for tensor in branch.inputs]
    model = keras.Model(inputs, x, **options)
    rebuilding.parts[id(model)] = [*branches, *made]
    rebuilding.input_keys[id(model)] = [tensor.name for tensor in inputs]
    return model

"""Build one layer of Keras 3 from what an old Keras wrote of it."""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsafe, Unsupported, said
from foldbn.frontends.definitions import stranger
from foldbn.frontends.legacy.activations import activation
from foldbn.frontends.legacy.arguments import accepted
from foldbn.frontends.legacy.context import Rebuilding
from foldbn.frontends.legacy.old import OldLayer
from foldbn.frontends.legacy.repairs import repaired
from foldbn.frontends.legacy.values import dtype_name

_OPERATIONS = (
    "TFOpLambda",
    "SlicingOpLambda",
    "TensorFlowOpLayer",
    "ClassMethod",
    "InstanceMethod",
    "InstanceProperty",
)
_RUNS_CODE = ("TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_NESTED = ("layer", "backward_layer", "cell")
_BASE = ("batch_input_shape", "input_dtype", "dynamic", "batch_size")


def layer_of(entry: dict[str, Any], rebuilding: Rebuilding) -> Any:
    """Return the layer that `entry` describes.

    Args:
        entry: class and configuration, as they are in the file.
        rebuilding: of the model that the layer is part of.

    Raises:
        Unsupported: Keras 3 has neither the layer nor one that does the same.
        Unsafe: it would run code from the file.
    """
    kind, config = str(entry["class_name"]), dict(entry.get("config") or {})
    if "name" in config:
        config["name"] = rebuilding.name_for(config["name"])
    plain_kind = kind.rpartition(">")[2]  # registered ones are Package>Class
    if plain_kind in rebuilding.own:
        return _users_own(rebuilding.own[plain_kind], config, rebuilding)
    if kind in _OPERATIONS:
        from foldbn.frontends.legacy.op_layers import op_layer

        return op_layer(kind, config)
    if kind == "Lambda":
        from foldbn.frontends.legacy.lambdas import lambda_layer

        return lambda_layer(config, rebuilding.own, unsafe=rebuilding.unsafe)
    layer = repaired(kind, config, rebuilding.writer)
    if layer.kind in _RUNS_CODE:
        raise Unsafe(
            f"{rebuilding.source!r} has a layer {kind} ({config.get('name')!r}), which holds code;"
            " foldbn does not run it",
            "rebuild the model with a named layer in its place",
        )
    _nest(layer, rebuilding)
    for key in layer.config:
        if key.endswith("activation"):
            layer.config[key] = activation(layer.config[key], rebuilding)
    built = _make(layer, rebuilding)
    if layer.output_shape:
        rebuilding.declared.append((built, tuple(layer.output_shape)))
    return built


def _make(layer: OldLayer, rebuilding: Rebuilding) -> Any:
    found = _class_of(layer, rebuilding)
    arguments = accepted(found, layer.config)
    try:
        return found(**arguments)
    except (TypeError, ValueError) as error:
        name = layer.config.get("name")
        raise Unsupported(
            f"Keras 3 cannot make layer {name!r} ({layer.kind}) of {rebuilding.source!r}:"
            f" {said(error)}",
            "give foldbn a SavedModel of the model",
        ) from error


def _class_of(layer: OldLayer, rebuilding: Rebuilding) -> Any:
    import keras

    if layer.own:
        from foldbn.frontends.legacy.layers import OWN

        own = OWN[layer.own]
        # A class of the name that is in the file, for reports.
        return own if own.__name__ == layer.kind else type(layer.kind, (own,), {})
    found = getattr(keras.layers, layer.kind, None)
    if not (isinstance(found, type) and issubclass(found, keras.layers.Layer)):
        raise stranger(rebuilding.source, layer.kind)
    if layer.mixin:
        from foldbn.frontends.legacy.layers import MIXINS

        return type(layer.kind, (MIXINS[layer.mixin], found), layer.attributes)
    return found


def _nest(layer: OldLayer, rebuilding: Rebuilding) -> None:
    """Build the layers inside a wrapper, and the cells of a recurrent layer."""
    for key in _NESTED:
        if isinstance(layer.config.get(key), dict):
            layer.config[key] = rebuilding.build(layer.config[key])
    if isinstance(layer.config.get("cells"), list):
        layer.config["cells"] = [rebuilding.build(cell) for cell in layer.config["cells"]]


def _users_own(found: Any, config: dict[str, Any], rebuilding: Rebuilding) -> Any:
    """Build a layer of the user's; only what every layer had is taken from its arguments."""
    import keras

    for key in _BASE:
        config.pop(key, None)
    if "dtype" in config:
        config["dtype"] = dtype_name(config["dtype"])
    try:
        with keras.saving.custom_object_scope(rebuilding.own):
            return found.from_config(config) if hasattr(found, "from_config") else found(**config)
    except Exception as error:  # whatever a user's constructor can raise
        raise Unsupported(
            f"{found.__name__} cannot be made from what {rebuilding.source!r} says of"
            f" {config.get('name')!r}: {type(error).__name__}: {said(error)}",
            "its __init__ must take the arguments that the file has: " + ", ".join(sorted(config)),
        ) from error

"""Load .h5 and .keras files with Keras 3 and freeze their call at inference."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.freezing import captured_variables, freeze
from foldbn.frontends.frozen import FrozenModel, Layers
from foldbn.frontends.sniff import Format

_SUFFIX = {"keras-h5": ".h5", "keras-zip": ".keras"}


def load(path: Path, kind: Format) -> FrozenModel:
    """Return the model in a Keras file as a frozen graph.

    Raises:
        Unsupported: Keras cannot build the model, or it is no model of tensors.
    """
    return freeze_model(_load_model(path, kind))


def _load_model(path: Path, kind: Format) -> Any:
    import keras

    with tempfile.TemporaryDirectory(prefix="foldbn-") as folder:
        # Keras chooses its reader by suffix, foldbn by content: a link has the right one.
        link = Path(folder) / f"model{_SUFFIX[kind]}"
        link.symlink_to(path.resolve())
        try:
            return keras.saving.load_model(link, compile=False, safe_mode=True)
        except Exception as error:  # whatever a file can make Keras raise
            raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> Unsupported:
    text = " ".join(str(error).split())
    if "ambda" in text and "safe" in text:
        return Unsupported(
            f"{str(path)!r} has a Lambda layer, whose stored code foldbn does not run",
            "rebuild the model with a named layer in place of the Lambda",
        )
    if "Could not locate class" in text or "Unknown layer" in text:
        return Unsupported(
            f"{str(path)!r} has a layer that Keras does not know: {text[:200]}",
            "custom layers are not supported in Keras files yet: give foldbn a SavedModel"
            " of the model (model.export)",
        )
    return Unsupported(f"Keras cannot load {str(path)!r}: {type(error).__name__}: {text[:300]}")


def freeze_model(model: Any) -> FrozenModel:
    """Return a Sequential or Functional Keras 3 model, called at inference, as a frozen graph.

    Raises:
        Unsupported: the model has no symbolic inputs, or one of them is no dense tensor.
    """
    import keras
    import tensorflow as tf

    if not getattr(model, "inputs", None):
        raise Unsupported(
            f"{type(model).__name__} {model.name!r} has no declared inputs",
            "call it once on data, model.export() it, and give foldbn the SavedModel",
        )
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in model.inputs]

    def call(*flat: Any) -> list[Any]:
        outputs = model(keras.tree.pack_sequence_as(structure, list(flat)), training=False)
        return list(keras.tree.flatten(outputs))

    function = tf.function(call, autograph=False).get_concrete_function(*specs)
    inputs = [tensor._keras_history.operation.name for tensor in model.inputs]
    outputs = [tensor._keras_history.operation.name for tensor in model.outputs]
    return freeze(function, inputs, outputs, _layers(model, function))


def _layers(model: Any, function: Any) -> Layers:
    """Map layer names to classes, and captured variables to the layer that owns them."""
    import keras

    owners: dict[int, str] = {}
    classes: dict[str, str] = {}
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.Model):
            classes[layer.name] = type(layer).__name__
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            owners[id(variable.value.handle)] = layer.name
    captured = captured_variables(function)
    variables = {name: owners[id(h)] for name, h in captured.items() if id(h) in owners}
    return Layers(classes, variables, suffixed=True)

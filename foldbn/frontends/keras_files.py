"""Load .h5 and .keras files with Keras 3 and freeze their call at inference."""

from __future__ import annotations

import re
import tempfile
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from foldbn.errors import FoldbnError, Unsupported, all_said, said
from foldbn.frontends.budget import bounded, check_budget, check_tensors
from foldbn.frontends.configs import check_config, read_config
from foldbn.frontends.definitions import lacking, run_definitions, stranger, under_packages
from foldbn.frontends.freezing import freeze
from foldbn.frontends.frozen import FrozenModel, Layers
from foldbn.frontends.legacy.checking import check_loaded
from foldbn.frontends.legacy.lambdas import lambdas_of_keras
from foldbn.frontends.legacy.rebuilding import rebuild
from foldbn.frontends.legacy.writers import writer_of
from foldbn.frontends.scopes import with_scope_names
from foldbn.frontends.sniff import Format
from foldbn.frontends.subclassed import called_as_built
from foldbn.frontends.unpacking import copy_with_config
from foldbn.frontends.variables import captured_variables

_UNKNOWN = re.compile(r"(?:Could not locate (?:class|function)|Unknown layer:?) '?([\w>.]+)")
_CALLED = re.compile(r"when calling (\w+)\.call")
# What a file may ask Keras for is settled in Keras's own classes while it loads.
_ONE_AT_A_TIME = threading.Lock()


def load(
    path: Path, kind: Format, custom_objects: Path | None = None, *, unsafe: bool = False
) -> FrozenModel:
    """Return the model in a Keras file as a frozen graph.

    Args:
        path: of the file.
        kind: what `sniff` says it is.
        custom_objects: a Python file with the user's own layers and functions. It is run.
        unsafe: whether Lambda layers may run the code that the file holds.

    Raises:
        Unsafe: a layer would run stored code or open a file, or asks for more than it stores.
        Unsupported: Keras cannot build the model, or it is no model of tensors.
        UsageError: `custom_objects` cannot be run.
    """
    own = {} if custom_objects is None else run_definitions(custom_objects)
    config = read_config(path, kind)
    own |= under_packages(own, config)
    with lacking(custom_objects, own, path):
        return _load(path, kind, config, own, unsafe=unsafe)


def _load(
    path: Path, kind: Format, config: Any, own: dict[str, Any], *, unsafe: bool
) -> FrozenModel:
    check_config(config, str(path), frozenset(own), unsafe=unsafe)
    limit = check_budget(config, path, kind, frozenset(own))
    with warnings.catch_warnings():
        # Keras 2 let masks end at such a layer without a word.
        warnings.filterwarnings("ignore", ".*destroy the mask", UserWarning)
        with _ONE_AT_A_TIME, bounded(limit, str(path)):
            model, originals = _load_model(path, kind, config, own, unsafe=unsafe)
        check_tensors(model, str(path))
        check_loaded(model, config, str(path), originals)
        return freeze_model(model, originals)


def _load_model(
    path: Path, kind: Format, config: Any, own: dict[str, Any], *, unsafe: bool
) -> tuple[Any, dict[str, str]]:
    """Return the model, and names in the file of layers that had to be renamed.

    Keras 3 loads some files of Keras 1 and 2 without a complaint and computes something else, so
    these are always rebuilt. Its own files are rebuilt where it cannot load them.
    """
    writer = writer_of(path, kind, config)
    if writer.major < 3:
        return rebuild(path, kind, config, writer, own, unsafe=unsafe)
    with lambdas_of_keras(own, unsafe=unsafe):
        try:
            return called_as_built(_load_with_keras(path, kind, config, own), config), {}
        except FoldbnError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a file can make Keras raise
            refusal = _explain(path, error)
            try:
                return rebuild(path, kind, config, writer, own, unsafe=unsafe)
            except Exception:  # noqa: BLE001 - what Keras itself said is the better reason
                raise refusal from error


def _load_with_keras(path: Path, kind: Format, config: Any, own: dict[str, Any]) -> Any:
    import keras

    with tempfile.TemporaryDirectory(prefix="foldbn-") as folder:
        copy = copy_with_config(path, kind, config, Path(folder))
        return keras.saving.load_model(copy, custom_objects=own, compile=False, safe_mode=True)


def _explain(path: Path, error: Exception) -> Unsupported:
    if unknown := _UNKNOWN.search(" ".join(str(error).split())):
        return stranger(str(path), unknown[1])
    # Keras quotes whole configurations; the cause stands at the end.
    text = all_said(error)
    cause = text if len(text) < 300 else f"{text[:80]} ... {text[-200:]}"
    return Unsupported(
        f"Keras cannot load {str(path)!r}: {type(error).__name__}: {cause}",
        "give foldbn a SavedModel of the model",
    )


def freeze_model(model: Any, originals: dict[str, str] | None = None) -> FrozenModel:
    """Return a Sequential or Functional Keras 3 model, called at inference, as a frozen graph.

    Args:
        model: loaded.
        originals: the names that layers of another name now have in its file.

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
    specs = [tf.TensorSpec(x.shape, x.dtype) for x in model.inputs]

    paths: list[tuple[Any, ...]] = []

    def call(*flat: Any) -> list[Any]:
        outputs = model(keras.tree.pack_sequence_as(structure, list(flat)), training=False)
        found = keras.tree.flatten_with_path(outputs)
        paths[:] = [path for path, _ in found]
        return [tensor for _, tensor in found]

    shown = with_scope_names(model) | (originals or {})
    try:
        function = tf.function(call, autograph=False).get_concrete_function(*specs)
    except tf.errors.OperatorNotAllowedInGraphError as error:
        raise _open_sizes(model, error) from error
    except Exception as error:  # whatever a layer can raise when it is called
        raise Unsupported(f"{model.name!r} cannot be called at inference: {said(error)}") from error
    inputs, outputs = (
        [shown.get(name, name) for name in (x._keras_history.operation.name for x in tensors)]
        for tensors in (model.inputs, model.outputs)
    )
    outputs = [_output_name(*each) for each in zip(paths, outputs, strict=True)]
    layers = replace(_layers(model, function), originals=shown)
    return freeze(function, inputs, outputs, layers)


def _output_name(path: tuple[Any, ...], layer: str) -> str:
    """Return an output's key in the dictionary that the model returns, otherwise its layer's name.

    Keras names one in a dictionary of its own by nothing: it has the way to it, joined by dots.
    """
    in_dictionary = any(isinstance(step, str) for step in path)
    return (".".join(map(str, path)) if in_dictionary else "") or layer


def _open_sizes(model: Any, error: Exception) -> Unsupported:
    """Say which kind of layer has to know the numbers that a call decides on, sizes mostly."""
    called = _CALLED.search(str(error))
    kind = called[1] if called else "a layer of it"
    open_ = [f"{x.name} {tuple(x.shape)}" for x in model.inputs if None in x.shape[1:]]
    if not open_:
        return Unsupported(
            f"{model.name!r} cannot be called at inference: {kind} decides on its own numbers in"
            " Python, which a graph cannot",
            "write the layer with keras.ops or tf.cond in place of if",
        )
    return Unsupported(
        f"{model.name!r} cannot become a graph while sizes of its inputs are open:"
        f" {kind} has to know them; {', '.join(open_)}",
        "save the model with inputs of a fixed size, like keras.Input((64, 64, 3)): the batch alone"
        " may be open for this layer",
    )


def _layers(model: Any, function: Any) -> Layers:
    """Map layer names to classes, and captured variables to the layer that owns them."""
    import keras

    owners: dict[int, str] = {}
    cells: dict[int, str] = {}
    classes: dict[str, str] = {}
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.Model):
            classes[layer.name] = type(layer).__name__
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            owners[id(variable.value.handle)] = layer.name
        if isinstance(layer, keras.layers.RNN):
            cells.update((id(v.value.handle), layer.name) for v in layer.weights)
    owners |= cells  # what a cell holds is known to the user as its recurrent layer's
    captured = captured_variables(function)
    variables = {name: owners[id(h)] for name, h in captured.items() if id(h) in owners}
    return Layers(classes, variables, suffixed=True)

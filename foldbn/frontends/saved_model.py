"""Load a SavedModel of any TensorFlow and freeze one of its signatures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from foldbn.errors import Unreadable, Unsupported, UsageError
from foldbn.frontends.freezing import freeze
from foldbn.frontends.frozen import DEFAULT_SIGNATURE, FrozenModel, Layers
from foldbn.frontends.variables import captured_variables

_RESERVED = "__saved_model_"


def load(path: Path, signature: str | None) -> FrozenModel:
    """Return one signature of a SavedModel as a frozen graph.

    Args:
        path: the SavedModel's directory.
        signature: which one; None takes ``serving_default``, or the only one.

    Raises:
        Unreadable: TensorFlow cannot load the directory.
        Unsupported: it has no signature, or several and none is chosen.
        UsageError: it has no signature of that name.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever a file can make TensorFlow raise
        text = " ".join(str(error).split())
        raise Unreadable(f"TensorFlow cannot load {str(path)!r}: {text[:300]}") from error
    name = _choose(loaded.signatures, signature, path)
    function = loaded.signatures[name]
    # What clients call the inputs, in the function's order. The public names of the arguments
    # are changed where Python asks for it: ``input-1`` is ``input_1`` there.
    inputs = list(function._arg_keywords)  # noqa: SLF001 - there is no public way to ask
    outputs = sorted(function.structured_outputs)
    # `loaded` owns the variables and must outlive the freezing.
    frozen = freeze(function, inputs, outputs, _layers(loaded, function))
    return replace(frozen, signature=name)


def _choose(signatures: Any, wanted: str | None, path: Path) -> str:
    names = sorted(signatures)
    listed = ", ".join(repr(name) for name in names)
    if not names:
        raise Unsupported(
            f"{str(path)!r} has no signatures",
            "save it with tf.saved_model.save(model, path, signatures=...)",
        )
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"there is no signature {wanted!r}; there are {listed}")
        return wanted
    if DEFAULT_SIGNATURE in names:
        return DEFAULT_SIGNATURE
    if len(names) > 1:
        raise Unsupported(f"there are several signatures: {listed}", "choose with --signature")
    return str(names[0])


def _layers(loaded: Any, function: Any) -> Layers:
    """Read the layers off the names of the variables, like ``model/bn/moving_variance:0``."""
    names = {id(variable.handle): variable.name for variable in function.graph.variables}
    variables: dict[str, str] = {}
    weights: dict[str, set[str]] = {}
    for constant, handle in captured_variables(function).items():
        path = names.get(id(handle), "").partition(":")[0].split("/")
        if len(path) > 1:
            variables[constant] = path[-2]
            weights.setdefault(path[-2], set()).add(path[-1])
    classes = {
        layer: "BatchNormalization" for layer, own in weights.items() if "moving_variance" in own
    }
    for layer in weights:
        classes.setdefault(layer, "")
    return Layers(classes, variables, suffixed=_written_by_keras_3(loaded))


def _written_by_keras_3(loaded: Any) -> bool:
    """Whether `model.export` of Keras 3 wrote it: it serves an endpoint ``serve`` as well."""
    return "serve" in loaded.signatures


def signatures_of(proto: Any) -> list[str]:
    """Return the names of a SavedModel's signatures; TensorFlow's own have a reserved prefix."""
    names = {name for graph in proto.meta_graphs for name in graph.signature_def}
    return sorted(name for name in names if not name.startswith(_RESERVED))


def writer_of(proto: Any) -> str | None:
    """Return the TensorFlow version that a SavedModel names, like ``tensorflow 2.15.0``."""
    versions = [graph.meta_info_def.tensorflow_version for graph in proto.meta_graphs]
    return f"tensorflow {versions[0]}" if versions and versions[0] else None

"""Rebuild a whole model: the door to this package."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.legacy.building import layer_of
from foldbn.frontends.legacy.context import Rebuilding
from foldbn.frontends.legacy.graphs import functional, is_functional
from foldbn.frontends.legacy.keras3 import operation_of
from foldbn.frontends.legacy.sequences import sequential
from foldbn.frontends.legacy.writers import Writer
from foldbn.frontends.sniff import Format
from foldbn.frontends.subclassed import called_as_built


def rebuild(  # noqa: PLR0913 - what a file says, and what the user says to it
    path: Path,
    kind: Format,
    config: Any,
    writer: Writer,
    own: dict[str, Any],
    *,
    unsafe: bool = False,
) -> tuple[Any, dict[str, str]]:
    """Return the model in a Keras file, made anew from its configuration and weights.

    Args:
        path: of the file.
        kind: what `sniff` says it is.
        config: of the model, checked.
        writer: who wrote it.
        own: classes and functions that the user has given, by name.
        unsafe: whether Lambda layers may run the code that the file holds.

    Returns:
        The model, and the names in the file of layers that had to be renamed, by the new ones.

    Raises:
        Unsupported: Keras 3 has no counterpart for something in it.
        Unreadable: it does not hang together.
    """
    rebuilding = Rebuilding(str(path), writer, own, lambda entry: _build(entry, rebuilding), unsafe)
    model = _build(config, rebuilding)
    _check_declared(rebuilding)
    called = called_as_built(model, config)  # a class of the user's has no weights before
    if not hasattr(model, "layers"):
        raise Unsupported(f"{str(path)!r} holds a single layer, no model")
    if kind == "keras-h5":
        import h5py

        from foldbn.frontends.legacy.h5_weights import assign

        with h5py.File(path, "r") as file:
            assign(model, file.get("model_weights", file), rebuilding)
    else:
        _assign_zip(model, path, writer)
    return called, rebuilding.originals


def _build(entry: dict[str, Any], rebuilding: Rebuilding) -> Any:
    number = entry.get("shared_object_id")
    if number in rebuilding.shared:
        return rebuilding.shared[number]
    if entry.get("class_name") == "Sequential":
        made = sequential(entry, rebuilding)
    elif is_functional(entry):
        made = functional(entry, rebuilding)
    elif rebuilding.writer.major >= 3:
        made = operation_of(entry, rebuilding)
    else:
        _refuse_subclassed(entry, rebuilding)
        made = layer_of(entry, rebuilding)
    if number is not None:
        rebuilding.shared[number] = made
    return made


def _check_declared(rebuilding: Rebuilding) -> None:
    for layer, declared in rebuilding.declared:
        found = tuple(layer.output.shape)
        pairs = zip(found[1:], declared[1:], strict=False)
        if len(found) != len(declared) or any(a != b for a, b in pairs if a and b):
            raise Unsupported(
                f"layer {rebuilding.original(layer)!r} ({type(layer).__name__}) of"
                f" {rebuilding.source!r} should give {declared} and gives {found}"
            )


def _refuse_subclassed(entry: dict[str, Any], rebuilding: Rebuilding) -> None:
    if entry["class_name"] in ("Model", "Functional"):
        raise Unsupported(
            f"{rebuilding.source!r} does not hold the architecture of the model",
            "call the model once on data, and give foldbn a SavedModel of it",
        )


def _assign_zip(model: Any, path: Path, writer: Writer) -> None:
    if writer.major >= 3:
        from foldbn.frontends.legacy.keras3 import assign_zip

        assign_zip(model, path)
        return
    from foldbn.frontends.legacy.zip_weights import assign

    with zipfile.ZipFile(path) as archive:
        assign(model, archive)

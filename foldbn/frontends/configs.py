"""Look through a model's configuration for what would run code or open files.

A configuration names classes and functions by module. Keras imports what it names, so the
names are held against a list first.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldbn.errors import Unreadable, Unsafe, Unsupported
from foldbn.frontends.sniff import Format

_MODULES = ("keras", "tensorflow", "tf_keras", "builtins", "numpy")
_RUNS_CODE = {
    "Lambda": "stored Python code",
    "TFSMLayer": "another SavedModel by its path",
    "TorchModuleWrapper": "a pickled PyTorch module",
    "JaxLayer": "stored Python code",
    "FlaxLayer": "stored Python code",
}
_CALLABLES = ("function", "builtin_function_or_method")
_LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "StaticVocabulary")
_UNUSED = ("compile_config", "build_config")  # foldbn loads without them
_DEPTH = 200


def read_config(path: Path, kind: Format) -> Any:
    """Return the configuration of the model in a Keras file.

    Raises:
        Unreadable: it is no JSON, or nested beyond reason.
    """
    if kind == "keras-h5":
        import h5py

        with h5py.File(path, "r") as file:
            text = file.attrs["model_config"]
    else:
        with zipfile.ZipFile(path) as archive:
            text = archive.read("config.json")
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"the configuration in {str(path)!r} is damaged: {error}") from error


def check_config(config: Any, name: str, own: frozenset[str] = frozenset()) -> None:
    """Refuse a configuration that names code or files, however deep inside.

    Args:
        config: of a model, as JSON gives it.
        name: of the file, for messages.
        own: classes and functions that the user has given.

    Raises:
        Unsafe: a layer would run stored code or open a file.
        Unsupported: a class is neither Keras's nor the user's own.
        Unreadable: it is nested beyond reason.
    """
    for part in _objects(config, name):
        kind, module = part["class_name"], part.get("module")
        inner = part.get("config")
        if kind in _RUNS_CODE and kind not in own:
            place = inner.get("name") if isinstance(inner, dict) else None
            raise Unsafe(
                f"{name!r} has a layer {kind} ({place!r}), which holds {_RUNS_CODE[kind]};"
                " foldbn does not run it",
                "rebuild the model with a named layer in its place",
            )
        if kind in _LOOKUPS and isinstance(inner, dict):
            _check_vocabulary(inner, name)
        called = str(inner) if kind in _CALLABLES and isinstance(inner, str) else str(kind)
        if isinstance(module, str) and module.partition(".")[0] not in _MODULES:
            if called not in own:
                raise Unsupported(
                    f"{name!r} has a layer or function that Keras does not know: {called!r}",
                    "--custom-objects FILE.py takes a Python file that defines it",
                )
        elif kind in _CALLABLES and isinstance(module, str) and module == "builtins":
            _check_builtin(called, name, own)
        elif isinstance(module, str) and _opens_files(module, called):
            raise Unsafe(f"{name!r} names {module}.{called}, which reaches outside the model")


def _check_vocabulary(config: dict[str, Any], name: str) -> None:
    vocabulary = config.get("vocabulary")
    if isinstance(vocabulary, str) or config.get("vocabulary_file"):
        raise Unsafe(
            f"{name!r} names a vocabulary file: {vocabulary or config['vocabulary_file']!r};"
            " foldbn does not open it",
            "save the model with the vocabulary itself in it",
        )


def _check_builtin(called: str, name: str, own: frozenset[str]) -> None:
    if called not in own:
        raise Unsupported(
            f"{name!r} has a layer or function that Keras does not know: {called!r}",
            "--custom-objects FILE.py takes a Python file that defines it",
        )


def _opens_files(module: str, called: str) -> bool:
    """Whether a public function of Keras or TensorFlow touches files, the net or processes."""
    parts = {*module.lower().split("."), called.lower()}
    return bool(
        parts & {"utils", "io", "saving", "saved_model", "gfile", "get_file", "py_function"}
    )


def _objects(config: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield every serialized object: a dictionary with a class name."""
    waiting = [(config, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > _DEPTH:
            raise Unreadable(f"the configuration in {name!r} is nested beyond reason")
        if isinstance(part, dict):
            if isinstance(part.get("class_name"), str):
                yield part
            waiting += [(v, depth + 1) for key, v in part.items() if key not in _UNUSED]
        elif isinstance(part, list):
            waiting += [(value, depth + 1) for value in part]

"""Look through a model's configuration for what would run code or open files.

A configuration names classes and functions by module. Keras imports what it names, so the
names are held against lists first.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from foldbn.errors import Unreadable, Unsafe
from foldbn.frontends.definitions import stranger
from foldbn.frontends.legacy.lambdas import check_lambda
from foldbn.frontends.legacy.op_names import check_function, check_raw_op, listed_function
from foldbn.frontends.sniff import Format
from foldbn.frontends.training_calls import check_calls

_ROOTS = ("keras", "tensorflow", "tf_keras", "builtins")
_NOWHERE = ("builtins", "__main__")  # the module that Keras writes where there is none to name
_PREFIXES = ("keras", "tensorflow", "tf_keras", "_tf_keras", "src", "api", "python", "_v1", "_v2")
# What may follow the root of a module, as in keras.layers or keras.src.engine.functional: what
# computes. Not utils, io, saving, applications, config, datasets, legacy: they reach outside.
_OF_FUNCTIONS = frozenset(
    ("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers")
)
_OF_CLASSES = _OF_FUNCTIONS | {
    *("dtype_policies", "engine", "layers", "mixed_precision", "models", "optimizers"),
    *("premade", "quantizers", "random"),
}
# The layers of keras.applications; its functions load weights.
_OF_APPLICATIONS = ("CustomScaleLayer", "LayerScale", "StochasticDepth")
_OUTSIDE = ("load", "save", "get_file", "from_directory", "from_json", "from_yaml", "from_config")
_RUNS_CODE = {
    "TFSMLayer": "another SavedModel by its path",
    "TorchModuleWrapper": "a pickled PyTorch module",
    "JaxLayer": "stored Python code",
    "FlaxLayer": "stored Python code",
    "__lambda__": "stored Python code",
}
_CALLABLES = ("function", "builtin_function_or_method")
_LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "StaticVocabulary")
_OF_LAMBDA = ("function", "mask", "output_shape", "arguments")  # `check_lambda` looks at these
_DEPTH = 200
_LONGEST = 2**24  # bytes of JSON; the greatest networks of keras.applications have 1 MB


def read_config(path: Path, kind: Format) -> Any:
    """Return the configuration of the model in a Keras file, without what only training needs.

    Raises:
        Unreadable: it is no JSON, or nested beyond reason.
        Unsafe: it is long beyond reason.
    """
    if kind == "keras-h5":
        import h5py

        with h5py.File(path, "r") as file:
            text = file.attrs["model_config"]
    else:
        with zipfile.ZipFile(path) as archive:
            _check_length(archive.getinfo("config.json").file_size, path)
            text = archive.read("config.json")
    try:
        _check_length(len(text), path)
        config = _without_training(json.loads(text))
        json.dumps(config, ensure_ascii=False).encode()  # JSON can write what is no character
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise Unreadable(
            f"the configuration in {str(path)!r} is damaged: {half} is no character",
            "was it written by Keras?",
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"the configuration in {str(path)!r} is damaged: {error}") from error
    return config


def _without_training(config: Any) -> Any:
    """Return a configuration without how the model, and each model inside, was compiled.

    Keras compiles an inner model whatever it is asked for, with losses and metrics that may be
    anything. Where no class stands beside it, the key is one like others, and stays.
    """
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                part.pop("compile_config", None)
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return config


def _check_length(length: int, path: Path) -> None:
    if length > _LONGEST:
        raise Unsafe(
            f"the configuration in {str(path)!r} has {length:,} bytes",
            f"foldbn reads configurations of up to {_LONGEST:,} bytes",
        )


def check_config(
    config: Any, name: str, own: Collection[str] = frozenset(), *, unsafe: bool = False
) -> None:
    """Refuse a configuration that names code or files, however deep inside.

    Args:
        config: of a model, as JSON gives it.
        name: of the file, for messages.
        own: classes and functions that the user has given.
        unsafe: whether Lambda layers may run the code they hold.

    Raises:
        Unsafe: a layer would run stored code or open a file, or is a part of Python itself.
        Unsupported: a class or function is neither Keras's nor the user's own, it is a call of
            TensorFlow that is on no list, or a layer is called as in training.
        Unreadable: it is nested beyond reason.
    """
    for part in _objects(config, name):
        kind, inner = part["class_name"], part.get("config")
        settings = inner if isinstance(inner, dict) else {}
        if kind in _RUNS_CODE and kind not in own:
            raise Unsafe(
                f"{name!r} has a layer {kind} ({settings.get('name')!r}), which holds"
                f" {_RUNS_CODE[kind]}; foldbn does not run it",
                "rebuild the model with a named layer in its place",
            )
        if kind == "Lambda" and kind not in own:
            check_lambda(inner, name, own, unsafe=unsafe)
        elif kind in ("TFOpLambda", "SlicingOpLambda"):
            check_function(settings.get("function"))
        elif kind == "TensorFlowOpLayer" and isinstance(settings.get("node_def"), dict):
            check_raw_op(settings["node_def"].get("op"))
        elif kind in _LOOKUPS:
            _check_vocabulary(settings, name)
        is_function = kind in _CALLABLES and isinstance(inner, str)
        called = str(inner if is_function else kind).rpartition(">")[2]  # Package>Class
        _check_module(part.get("module"), called, name, own, is_function=is_function)
        check_calls(part, name, own)


def _check_module(
    module: Any, called: str, name: str, own: Collection[str], *, is_function: bool
) -> None:
    """Refuse what Keras would import from a module that is not its own, or reaches outside."""
    if not isinstance(module, str):
        return  # the file names it alone: only Keras's own layers are looked up so
    root, *rest = module.split(".")
    known = called in own or (is_function and listed_function(called, module) is not None)
    known |= "applications" in rest and not is_function and called in _OF_APPLICATIONS
    if root not in _ROOTS or (root == "builtins" and is_function):
        if not known:
            if root in sys.stdlib_module_names and root != "builtins":
                raise Unsafe(
                    f"{name!r} names {module}.{called}, which is no layer or function of Keras but"
                    " of Python itself, and reaches outside the model",
                    "where a module of your own has that name, --custom-objects FILE.py takes a"
                    " Python file that defines it",
                )
            raise stranger(name, called, module if root not in _NOWHERE else "")
        return
    family = next((part for part in rest if part not in _PREFIXES), None)
    allowed = {None, *(_OF_FUNCTIONS if is_function else _OF_CLASSES)}
    outside = called == "py_function" or any(word in called.lower() for word in _OUTSIDE)
    if outside or (family not in allowed and not known):
        raise Unsafe(f"{name!r} names {module}.{called}, which reaches outside the model")


def _check_vocabulary(config: dict[str, Any], name: str) -> None:
    vocabulary = config.get("vocabulary")
    if isinstance(vocabulary, str) or config.get("vocabulary_file"):
        raise Unsafe(
            f"{name!r} names a vocabulary file: {vocabulary or config['vocabulary_file']!r};"
            " foldbn does not open it",
            "save the model with the vocabulary itself in it",
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
            elif {"class_name", "config"} <= part.keys():
                raise Unreadable(
                    f"the configuration in {name!r} has a class whose name is no text:"
                    f" {str(part['class_name'])[:100]}"
                )
            waiting += [(value, depth + 1) for value in _inside(part)]
        elif isinstance(part, list):
            waiting += [(value, depth + 1) for value in part]


def _inside(part: dict[str, Any]) -> Iterator[Any]:
    """Yield what may hold further objects; `check_lambda` has looked at the inside of a Lambda."""
    for key, value in part.items():
        if key == "config" and part.get("class_name") == "Lambda" and isinstance(value, dict):
            yield from (each for inner, each in value.items() if inner not in _OF_LAMBDA)
        else:
            yield value

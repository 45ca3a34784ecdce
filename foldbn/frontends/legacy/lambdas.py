"""Lambda layers: what a file may call in one, and who has to agree.

Keras stores the function of a Lambda layer as bytecode, or by its name. In this order:

* a function or layer of the user's own, of the layer's name, takes its place;
* a name is looked up among the user's own functions, then on the list of `op_names`;
* bytecode is run if the user says so (``unsafe``) and this Python can read it.

Anything else is refused, before any framework is imported.
"""

from __future__ import annotations

import contextlib
import keyword
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from foldbn.errors import Unsafe, Unsupported
from foldbn.frontends.legacy.bytecode import is_foreign, load_function
from foldbn.frontends.legacy.op_names import listed_function
from foldbn.frontends.legacy.values import plain


def check_lambda(config: Any, source: str, own: Collection[str], *, unsafe: bool) -> None:
    """Refuse a Lambda layer that has nothing to call, or that would run the file's code.

    Args:
        config: of the layer.
        source: the file, for messages.
        own: names of the functions and classes that the user has given.
        unsafe: whether the file's code may be run.

    Raises:
        Unsafe: it holds bytecode, and may not run it.
        Unsupported: it holds bytecode of another Python, or a name that nobody knows.
    """
    if not isinstance(config, dict):
        raise Unsupported(f"{source!r} has a Lambda layer without a configuration")
    name = str(config.get("name"))
    if _own_name(name, own):
        return
    own_function = f"a function {identifier(name)!r} in --custom-objects FILE.py"
    if called := _stored_name(config):
        if called[0] not in own and listed_function(*called) is None:
            raise Unsupported(
                f"{source!r} has a layer Lambda ({name!r}) that calls a function which Keras does"
                f" not know: {called[0]!r}",
                f"a function {called[0]!r} or {identifier(name)!r} in --custom-objects FILE.py"
                " takes its place",
            )
        return
    if not unsafe:
        raise Unsafe(
            f"{source!r} has a layer Lambda ({name!r}), which holds stored Python code;"
            " foldbn does not run it",
            f"{own_function} takes its place"
            if is_foreign(_bytecode(config))  # it could not be run
            else f"{own_function} takes its place; --unsafe runs the code, if you trust the file",
        )
    if load_function(_bytecode(config), {}) is None:
        raise Unsupported(
            f"{source!r} has a layer Lambda ({name!r}) whose code was stored by another version of"
            " Python, which this one cannot run",
            f"{own_function} takes its place",
        )


def lambda_layer(config: dict[str, Any], own: dict[str, Any], *, unsafe: bool) -> Any:
    """Return a layer of Keras 3 that calls what a Lambda layer of a file calls.

    Args:
        config: of the layer.
        own: functions and classes that the user has given, by name. A layer class is made with
            the layer's name, any other class without arguments.
        unsafe: whether the file's code may be run.

    Raises:
        Unsafe: it holds bytecode, and may not run it.
        Unsupported: nothing that it could call is known; or it changes masks by a function.
    """
    import keras

    check_lambda(config, "the model", own, unsafe=unsafe)
    name = config.get("name")
    if config.get("mask") is not None:
        raise Unsupported(
            f"the layer Lambda {name!r} changes masks by a function of its own",
            "rebuild the model with a layer of your own in its place",
        )
    function = _function_of(config, own)
    if isinstance(function, type):
        if issubclass(function, keras.layers.Layer):
            return function(name=name)
        function = function()
    if isinstance(function, keras.layers.Layer):
        return function
    return keras.layers.Lambda(function, name=name, arguments=plain(config.get("arguments")) or {})


@contextlib.contextmanager
def lambdas_of_keras(own: dict[str, Any], *, unsafe: bool) -> Iterator[None]:
    """Let Keras make the Lambda layers of its own files by `lambda_layer`, while this lasts."""
    from unittest import mock

    import keras

    def from_config(_: Any, /, config: Any, **__: Any) -> Any:
        return lambda_layer(config, own, unsafe=unsafe)

    with mock.patch.object(keras.layers.Lambda, "from_config", classmethod(from_config)):
        yield


def identifier(name: str) -> str:
    """Return the Python name that stands for a layer's: ``lambda_`` for ``lambda``."""
    found = re.sub(r"\W", "_", name)
    return f"{found}_" if keyword.iskeyword(found) else found


def _own_name(name: str, own: Collection[str]) -> str | None:
    return next((each for each in (name, identifier(name)) if each in own), None)


def _function_of(config: dict[str, Any], own: dict[str, Any]) -> Callable[..., Any]:
    name = _own_name(str(config.get("name")), own)
    if name is not None:
        return own[name]  # type: ignore[no-any-return]
    called = _stored_name(config)
    if called is None:
        function = load_function(_bytecode(config), _global_names(own))
    elif called[0] in own:
        function = own[called[0]]
    else:
        from foldbn.frontends.legacy.op_layers import public_function

        function = public_function(str(listed_function(*called)))
    assert function is not None  # noqa: S101 - `check_lambda` has seen to it
    return function


def _global_names(own: dict[str, Any]) -> dict[str, Any]:
    """Return what a stored function finds: the names that scripts give to the usual modules."""
    import keras
    import numpy as np
    import tensorflow as tf

    names = {"tf": tf, "tensorflow": tf, "keras": keras, "ops": keras.ops, "np": np, "numpy": np}
    return {**names, "K": tf.keras.backend, "backend": tf.keras.backend, **own}


def _stored_name(config: dict[str, Any]) -> tuple[str, str] | None:
    """Return name and module of the function, if it is stored by name."""
    stored = config.get("function")
    if isinstance(stored, str) and config.get("function_type") != "lambda":
        return stored.rpartition(">")[2], str(config.get("module") or "builtins")
    if isinstance(stored, dict) and isinstance(stored.get("config"), str):
        return stored["config"].rpartition(">")[2], str(stored.get("module") or "builtins")
    return None


def _bytecode(config: dict[str, Any]) -> list[Any]:
    """Return code, defaults and closure as a list, in whatever form they are stored."""
    stored = plain(config.get("function"))
    if isinstance(stored, dict):
        inner = stored.get("config")
        if not isinstance(inner, dict):
            return []
        stored = inner.get("value", [inner.get(key) for key in ("code", "defaults", "closure")])
    return stored if isinstance(stored, list) else [stored, None, None]

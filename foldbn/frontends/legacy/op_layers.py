"""Layers that stand for one TensorFlow call: TFOpLambda, SlicingOpLambda, TensorFlowOpLayer.

tf.keras recorded a call on a layer's output as such a layer. TF 2.4 to 2.15 name the public
function (``math.multiply``) and keep its arguments in the inbound node; TF 1.15 to 2.3 keep the
raw op as a NodeDef, and the inputs that were constants by their index. Both are called here as
what they name, so that the numbers are TensorFlow's own; `op_names` says which names there are.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable
from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.legacy.function_layer import function_layer
from foldbn.frontends.legacy.op_names import check_function
from foldbn.frontends.legacy.raw_ops import raw_call

KINDS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
_PREFIX = "tf_op_layer_"  # Keras adds it to the name in a TensorFlowOpLayer's configuration
# Keras's name of a function -> TensorFlow's, and the defaults that differ.
_BACKEND: dict[str, tuple[str, dict[str, Any]]] = {
    "argmax": ("argmax", {"axis": -1}),
    "argmin": ("argmin", {"axis": -1}),
    "concatenate": ("concat", {"axis": -1}),
    "expand_dims": ("expand_dims", {"axis": -1}),
    "softmax": ("nn.softmax", {"axis": -1}),
    "permute_dimensions": ("transpose", {}),
    **{
        name: (f"reduce_{name}", {}) for name in ("all", "any", "max", "mean", "min", "prod", "sum")
    },
}
_RENAMED = {
    "permute_dimensions": {"pattern": "perm"},
    "relu": {"alpha": "negative_slope"},
    "pow": {"a": "y"},
}


def op_layer(class_name: str, config: dict[str, Any]) -> Any:
    """Return a Keras layer that makes the call which a layer of Keras 2 stood for.

    A TFOpLambda or SlicingOpLambda takes the function's first argument by position and the others
    by name, as the inbound node has them: tensors, numbers, lists and the forms in which JSON
    keeps a tuple or a slice. A TensorFlowOpLayer takes its tensor inputs as one list.

    Args:
        class_name: one of `KINDS`.
        config: of the layer.

    Raises:
        Unsupported: the function or op is not on the list, or TensorFlow no longer has it.
        Unreadable: there is no NodeDef where one should be.
    """
    name = config.get("name")
    if class_name not in KINDS:
        raise Unsupported(
            f"the layer {name!r} is a {class_name}, which stands for a call that foldbn cannot"
            " make again",
            "give foldbn a SavedModel of the model",
        )
    if class_name == "TensorFlowOpLayer":
        if isinstance(name, str) and not name.startswith(_PREFIX):
            name = _PREFIX + name
        return function_layer(class_name, raw_call(config), name)
    return function_layer(class_name, _public_call(str(config.get("function"))), name)


def _public_call(name: str) -> Callable[..., Any]:
    function = public_function(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("name", None)
        given = {key: _plain(value) for key, value in kwargs.items()}
        return function(*_matched(_plain(list(args)), given.get("y")), **given)

    return call


def _matched(args: list[Any], other: Any) -> list[Any]:
    """Give a number in the first place the type of the tensor `other`: ``1 - x``."""
    import tensorflow as tf

    if args and tf.is_tensor(other) and not tf.is_tensor(args[0]):
        return [tf.convert_to_tensor(args[0], other.dtype), *args[1:]]
    return args


def public_function(name: str) -> Callable[..., Any]:
    """Return the function of this name, if it is on the list of `op_names`.

    Raises:
        Unsupported: it is not, or TensorFlow no longer has it.
    """
    import tensorflow as tf

    plain = check_function(name)
    space, _, last = plain.rpartition(".")
    if space == "__operators__":
        return _operator(last)
    if space.startswith("keras."):
        return _keras_function(space, last)
    function = _exported(plain, tf.compat.v1 if plain != name else tf)
    if function is None:
        raise Unsupported(
            f"the model calls the TensorFlow function {name!r}, which TensorFlow"
            f" {tf.__version__} does not have",
            "give foldbn a SavedModel of it",
        )
    return function


def _exported(name: str, root: Any) -> Callable[..., Any] | None:
    """Return a listed function; some that stood at the top of TensorFlow are in `tf.math` now."""
    for path in (name, f"math.{name}"):
        with contextlib.suppress(AttributeError):
            function: Callable[..., Any] = operator.attrgetter(path)(root)
            return function
    return None


def _operator(name: str) -> Callable[..., Any]:
    import tensorflow as tf

    def radd(x: Any, y: Any) -> Any:
        return tf.add(y, x)

    def eq(tensor: Any, other: Any) -> Any:
        return tf.equal(tensor, other)

    def ne(tensor: Any, other: Any) -> Any:
        return tf.not_equal(tensor, other)

    def getitem(tensor: Any, slice_spec: Any) -> Any:
        return tensor[slice_spec]

    known: dict[str, Callable[..., Any]] = {
        "add": tf.add,
        "radd": radd,
        "eq": eq,
        "ne": ne,
        "getitem": getitem,
    }
    return known[name]


def _keras_function(space: str, name: str) -> Callable[..., Any]:
    import keras
    import tensorflow as tf

    defaults: dict[str, Any] = {}
    if name == "hard_sigmoid" and space != "keras.ops":  # Keras 3 has another formula by this name
        return lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)
    if space == "keras.ops":
        return getattr(keras.ops, name)  # type: ignore[no-any-return]
    if space == "keras.activations":
        function = getattr(keras.activations, name)
    else:
        path, defaults = _BACKEND.get(name, (name, {}))
        function = _exported(path, tf)
    renamed = _RENAMED.get(name, {})

    def call(*args: Any, **kwargs: Any) -> Any:
        given = {renamed.get(key, key): value for key, value in kwargs.items()}
        return function(*args, **{**defaults, **given})

    return call


def _plain(value: Any) -> Any:
    """Return an argument as Python has it; JSON has no tuples, slices and arrays."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = value.get("config", value)
    readers: dict[Any, Callable[[Any], Any]] = {
        "__tuple__": _tuple,
        "TensorShape": _tuple,
        "__ellipsis__": lambda _: ...,
        "__tensor__": _constant,
        "__numpy__": _constant,
        "__slice__": _slice,
    }
    if reader := readers.get(value.get("class_name")):
        return reader(inner)
    if value.keys() == {"start", "stop", "step"}:
        return _slice(value)
    return {key: _plain(each) for key, each in value.items()}


def _tuple(stored: Any) -> tuple[Any, ...]:
    return tuple(_plain(each) for each in stored["items"])


def _slice(stored: Any) -> slice:
    return slice(*(_plain(stored[key]) for key in ("start", "stop", "step")))


def _constant(stored: Any) -> Any:
    import tensorflow as tf

    return tf.constant(stored["value"], stored["dtype"])

"""Arguments that Keras 3 no longer has: dropped where they mean nothing, otherwise refused."""

from __future__ import annotations

import inspect
from typing import Any

from foldbn.errors import Unsupported

ANY = object()  # whatever its value, the argument has no influence at inference

# Argument -> the values that mean nothing. None means nothing anywhere.
NEUTRAL: dict[str, Any] = {
    "adapt_size": ANY,
    "adjustment": (),
    "autocast": ANY,
    "batch_input_shape": ANY,
    "batch_size": ANY,
    "build_input_shape": ANY,
    "causal": (False,),
    "data_format": ("channels_last",),
    "dilation_rate": (1, [1], [1, 1], [1, 1, 1]),
    "dynamic": ANY,
    "experimental_autocast": ANY,
    "fused": ANY,
    "groups": (1,),
    "implementation": ANY,
    "input_dim": ANY,
    "input_dtype": ANY,
    "input_length": ANY,
    "input_shape": ANY,
    "input_spec": ANY,
    "key_shape": ANY,
    "keepdims": (False,),
    "negative_slope": (0, 0.0),
    "num_constants": (0,),
    "query_shape": ANY,
    "ragged": (False,),
    "reset_after": (False,),
    "reverse_state_order": (False,),
    "sparse": (False,),
    "stateful": (False,),
    "threshold": (0, 0.0),
    "time_major": (False,),
    "trainable": ANY,
    "unit_forget_bias": ANY,
    "unroll": ANY,
    "value_shape": ANY,
    "zero_output_for_mask": (False,),
}


def accepted(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `config` that `kind` takes.

    Args:
        kind: a class of Keras 3.
        config: of a layer, mended.

    Raises:
        Unsupported: it does not take one that is not neutral.
    """
    names = _parameters(kind)
    for name, value in config.items():
        if name not in names and not _is_neutral(name, value):
            raise Unsupported(
                f"layer {config.get('name')!r} ({kind.__name__}): Keras 3 has no argument for"
                f" {name}={value!r}",
                "give foldbn a SavedModel of the model",
            )
    return {name: value for name, value in config.items() if name in names}


def takes(kind: str, name: str) -> bool:
    """Whether the layers of Keras 3 of class `kind` have an argument `name`."""
    import keras

    found = getattr(keras.layers, kind, None)
    return isinstance(found, type) and name in _parameters(found)


def _is_neutral(name: str, value: Any) -> bool:
    neutral = NEUTRAL.get(name, ())
    return value is None or neutral is ANY or any(value == each for each in neutral)


def _parameters(kind: type) -> set[str]:
    """Return the names that the constructor takes, also those it hands on to its base."""
    names: set[str] = set()
    for each in kind.__mro__:
        if "__init__" not in vars(each):
            continue
        parameters = inspect.signature(each.__init__).parameters.values()  # type: ignore[misc]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
        if each.__name__ == "Layer":
            break
    return names - {"self"}

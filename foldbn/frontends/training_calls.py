"""Refuse layers that a file of Keras 3 calls with ``training=True``.

Keras's `predict` calls all layers at inference whatever the file says, and a call of the model
itself does not: what the model computes depends on who asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from foldbn.errors import Unsupported

# What draws random numbers, or looks at the batch, in training alone. Augmentation is not among
# them: Keras writes ``training=True`` into every call of RandomFlip and its like.
_ACTS = re.compile(
    r"BatchNormalization|SpectralNormalization|\w*Dropout\w*|GaussianNoise|StochasticDepth"
)
_RATES = ("rate", "stddev", "drop_path_rate")  # of which a layer in `_ACTS` has one, or none
_DROPPING = ("dropout", "recurrent_dropout")  # of recurrent layers and of attention


def check_calls(layer: dict[str, Any], file: str, own: Collection[str]) -> None:
    """Raise where a layer is called in training mode, and computes something else there.

    Args:
        layer: as a configuration has it; files of Keras 1 and 2 write calls in another way.
        file: its name, for messages.
        own: classes that the user has given, of which anything may be true.

    Raises:
        Unsupported: a call says so.
    """
    nodes = layer.get("inbound_nodes")
    calls = [each for each in nodes if isinstance(each, dict)] if isinstance(nodes, list) else []
    if any(_in_training(call) for call in calls) and _acts(layer, own):
        config = layer.get("config")
        name = layer.get("name") or (config.get("name") if isinstance(config, dict) else None)
        raise Unsupported(
            f"layer {name!r} ({layer['class_name']}) of {file!r} is called with training=True, at"
            " inference as well",
            "build the model without it: what it computes would depend on its batch, or on chance",
        )


def _in_training(call: dict[str, Any]) -> bool:
    kwargs = call.get("kwargs")
    return isinstance(kwargs, dict) and kwargs.get("training") not in (None, False, 0)


def _acts(layer: dict[str, Any], own: Collection[str]) -> bool:
    """Whether training changes what a layer computes, or one inside it."""
    waiting: list[Any] = [layer]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += [value for key, value in part.items() if key != "inbound_nodes"]
            kind, config = part.get("class_name"), part.get("config")
            known = isinstance(kind, str) and isinstance(config, dict)
            if known and _acts_itself(str(kind).rpartition(">")[2], dict(config or {}), own):
                return True
    return False


def _acts_itself(kind: str, config: dict[str, Any], own: Collection[str]) -> bool:
    if any(config.get(key) for key in _DROPPING) or kind in own:
        return True
    frozen = kind == "BatchNormalization" and config.get("trainable") is False
    off = any(config.get(key) == 0 for key in _RATES)
    return _ACTS.fullmatch(kind) is not None and not frozen and not off

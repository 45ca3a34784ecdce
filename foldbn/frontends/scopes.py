"""Names that TensorFlow takes for a scope: Keras lets a layer be called anything but a path."""

from __future__ import annotations

import re
from typing import Any

# What both `tf.Graph.name_scope` and the names of nodes take, without the slash.
_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.-]*")
_UNNAMED = "unnamed"
_OTHER = re.compile(r"[^A-Za-z0-9_.-]")


def with_scope_names(model: Any) -> dict[str, str]:
    """Rename the layers of a model, itself included, that TensorFlow could not call by their name.

    Args:
        model: a Keras 3 model, which is changed.

    Returns:
        The names that these layers had, by the new ones. One without a name keeps the new one.
    """
    layers = [model, *model._flatten_layers(include_self=False)]
    taken = {layer.name for layer in layers}
    originals: dict[str, str] = {}
    for layer in layers:
        if _SCOPE.fullmatch(layer.name):
            continue
        free = base = "x" + _OTHER.sub("_", layer.name) if layer.name else _UNNAMED
        number = 0
        while free in taken:
            number += 1
            free = f"{base}_{number}"
        taken.add(free)
        originals[free] = layer.name or free
        layer.name = free
    return originals

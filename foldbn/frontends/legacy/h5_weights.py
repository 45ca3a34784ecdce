"""Give a rebuilt model the weights of an .h5 file, layer by layer and by name.

The file has a group for each layer of the top level, with the weights in a list of names. The
weights of a nested model are flattened into its group: those that train first, of all layers,
then those that do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from foldbn.errors import Unreadable, Unsupported
from foldbn.frontends.legacy.context import Rebuilding
from foldbn.frontends.legacy.conversions import converted
from foldbn.frontends.legacy.matching import (
    Stored,
    by_layer_name,
    by_position,
    in_order_of,
    is_bookkeeping,
)


def assign(model: Any, group: Any, rebuilding: Rebuilding) -> None:
    """Fill all weights of `model` from the group of an .h5 file.

    Args:
        model: rebuilt, in the order of the file.
        group: ``model_weights`` of the file.
        rebuilding: of the model.

    Raises:
        Unsupported: a weight has no place, or another name or shape than its place.
        Unreadable: a layer with weights finds none in the file.
    """
    filled: set[int] = set()
    for name in _names(group, "layer_names"):
        stored = _stored(group[name])
        if not stored or name in rebuilding.skipped:
            continue
        layer = _find(model, name, rebuilding)
        if layer is None:
            raise Unsupported(f"{rebuilding.source!r} has weights of a layer it lacks: {name!r}")
        _fill(layer, stored, rebuilding)
        filled |= {id(weight) for weight in layer.weights}
    if "top_level_model_weights" in group and _stored(group["top_level_model_weights"]):
        raise Unsupported(
            f"{rebuilding.source!r} has weights that belong to no layer",
            "give foldbn a SavedModel of the model",
        )
    _check_all(model, filled, rebuilding)


def leaves(layer: Any, rebuilding: Rebuilding) -> Iterator[Any]:
    """Yield the layers of a nested model that are none themselves, in the order of the file."""
    import keras

    if isinstance(layer, keras.Model):
        for part in rebuilding.layers_of(layer):
            yield from leaves(part, rebuilding)
    elif isinstance(getattr(layer, "layer", None), keras.Model):  # TimeDistributed around a model
        yield from leaves(layer.layer, rebuilding)
    else:
        yield layer


def _fill(layer: Any, stored: list[Stored], rebuilding: Rebuilding) -> None:
    parts = [part for part in _unique(leaves(layer, rebuilding)) if _has_weights(part)]
    if len(parts) == 1:
        shares = [stored]
    else:
        names = [rebuilding.original(part) for part in parts]
        shares = by_layer_name(stored, names) or by_position(stored, parts, rebuilding.source)
    for part, share in zip(parts, shares, strict=True):
        _fill_leaf(part, share, rebuilding)
    if not parts and any(not is_bookkeeping(each.name) for each in stored):
        raise Unsupported(
            f"{rebuilding.source!r} has {len(stored)} weights for"
            f" {rebuilding.original(layer)!r} ({type(layer).__name__}), which takes none"
        )


def _fill_leaf(layer: Any, stored: list[Stored], rebuilding: Rebuilding) -> None:
    place = f"{rebuilding.original(layer)!r} ({type(layer).__name__}) of {rebuilding.source!r}"
    # Keras 1 has its own shapes and orders, Theano and cuDNN as well.
    ready = converted(layer, stored, rebuilding.writer)
    weights = [*layer.trainable_weights, *layer.non_trainable_weights]
    if len(ready) != len(weights):
        raise Unsupported(
            f"the file has {len(stored)} weights for {place}, which takes {len(weights)}"
        )
    custom = type(layer).__name__ in rebuilding.own
    for weight, each in zip(
        weights, in_order_of(weights, ready, place, custom=custom), strict=True
    ):
        if tuple(weight.shape) != each.value.shape:
            raise Unsupported(
                f"the weight {each.name!r} of {place} has the shape {each.value.shape},"
                f" and {tuple(weight.shape)} is needed"
            )
        weight.assign(each.value)
    if hasattr(layer, "finalize_state"):  # Normalization computes what it calls with from these
        layer.finalize_state()


def _has_weights(layer: Any) -> bool:
    return bool(layer.weights)


def _unique(layers: Iterator[Any]) -> list[Any]:
    return list({id(layer): layer for layer in layers}.values())


def _find(model: Any, name: str, rebuilding: Rebuilding) -> Any:
    """Return the layer of the top level that the file calls `name`, otherwise a nested one.

    Keras 1 flattens the branches of a Sequential model.
    """
    top = rebuilding.layers_of(model)
    everywhere = [*top, *(part for layer in top for part in leaves(layer, rebuilding))]
    return next((part for part in everywhere if rebuilding.original(part) == name), None)


def _check_all(model: Any, filled: set[int], rebuilding: Rebuilding) -> None:
    for layer in leaves(model, rebuilding):
        for weight in layer.weights:
            if id(weight) not in filled:
                raise Unreadable(
                    f"{rebuilding.source!r} lacks the weights of layer"
                    f" {rebuilding.original(layer)!r} ({type(layer).__name__}): {weight.name}"
                )


def _stored(group: Any) -> list[Stored]:
    names = _names(group, "weight_names")
    return [Stored(name, np.asarray(group[name])) for name in names if not is_bookkeeping(name)]


def _names(group: Any, key: str) -> list[str]:
    """Return a list of names; long ones are split over ``key0``, ``key1`` ..."""
    stored = list(group.attrs.get(key, []))
    number = 0
    while f"{key}{number}" in group.attrs:
        stored += list(group.attrs[f"{key}{number}"])
        number += 1
    return [name.decode() if isinstance(name, bytes) else str(name) for name in stored]

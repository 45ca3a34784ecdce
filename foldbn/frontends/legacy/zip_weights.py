"""Put the weights of a .keras archive of Keras 2 into a model rebuilt for Keras 3.

``model.weights.h5`` follows the objects of Keras 2: a layer's own variables are ``vars/0``,
``vars/1``, ... in order of creation, what it holds in attributes is in groups of their names
(``cell``, ``forward_layer``, ``_query_dense``), and a model's layers are in ``layers`` by their
class: ``dense``, ``dense_1``. Keras 2.12 and 2.13 kept them in ``_layer_checkpoint_dependencies``
and counted a layer that has weights twice: ``dense``, ``dense_2``. No name of a weight is stored,
so every count and every shape is checked, and so is that nothing is left on either side.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from foldbn.errors import Unsupported

_TWICE = "_layer_checkpoint_dependencies"
_LAYERS = (_TWICE, "layers")
_TRAINING = ("optimizer", "metrics", "_metrics", "compiled_metrics", "compiled_loss", "loss")
_HINT = "give foldbn a SavedModel of the model, or save it with Keras 3"


def assign(model: Any, archive: zipfile.ZipFile) -> None:
    """Give every weight of `model` its value from `archive`.

    Args:
        model: a Keras 3 model whose layers have the names that the archive's configuration has.
        archive: written by Keras 2.12 to 2.15.

    Raises:
        Unsupported: a weight is missing, left over, or of another shape than its layer's.
    """
    import h5py

    config = json.loads(archive.read("config.json"))
    if extra := [name for name in archive.namelist() if name.startswith("assets/")]:
        raise Unsupported(f"{archive.filename!r} keeps state of a layer in {extra[0]!r}", _HINT)
    content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r") as file:
        work = _Assignment()
        work.fill(model, file, config)
        if left := [name for name in _datasets(file) if name not in work.used]:
            raise Unsupported(f"weights at {left[0]!r} belong to no layer of the model", _HINT)
    if bare := [weight.path for weight in model.weights if id(weight) not in work.assigned]:
        raise Unsupported(f"the file has no value for the weight {bare[0]!r}", _HINT)
    for layer in model._flatten_layers():
        if layer.built and hasattr(layer, "finalize_state"):
            layer.finalize_state()  # Normalization computes with copies of its weights


class _Assignment:
    """What was assigned, and from where.

    Attributes:
        assigned: id of every weight that has its value.
        used: path of every dataset that has been looked at.
    """

    def __init__(self) -> None:
        self.assigned: set[int] = set()
        self.used: set[str] = set()
        self._groups: dict[int, Any] = {}  # of layers in several places, by their number

    def fill(self, layer: Any, group: Any, entry: dict[str, Any]) -> None:
        """Fill a layer, and what it is made of, from its group.

        Args:
            layer: of Keras 3.
            group: of the HDF5 file.
            entry: its class and configuration, as far as the file has them.
        """
        import keras

        self._fill_own(layer, group, entry)
        for key in group:
            if key == "vars" or not any(_datasets(group[key])):
                continue
            if key in _LAYERS and isinstance(layer, keras.Model):
                self._fill_layers(layer, group[key], entry, twice=key == _TWICE)
            elif key in _TRAINING:
                self.used.update(_datasets(group[key]))
            else:
                self._fill_attribute(layer, key, group[key], entry)

    def _fill_own(self, layer: Any, group: Any, entry: dict[str, Any]) -> None:
        stored = group.get("vars", {})
        values = [stored[key] for key in sorted(stored, key=int)]
        self.used.update(value.name for value in values)
        weights = layer._trainable_variables + layer._non_trainable_variables
        if _config(entry).get("renorm"):  # its running statistics come last and are not used
            values = values[: len(weights)]
        if len(values) != len(weights):
            raise Unsupported(
                f"layer {layer.name!r} has {len(values)} weights in the file and {len(weights)}"
                " as rebuilt",
                _HINT,
            )
        for weight, value in zip(weights, values, strict=True):
            if tuple(weight.shape) != value.shape:
                raise Unsupported(
                    f"weight {weight.name!r} of layer {layer.name!r} has the shape {value.shape}"
                    f" in the file and {tuple(weight.shape)} as rebuilt",
                    _HINT,
                )
            weight.assign(np.asarray(value))
            self.assigned.add(id(weight))

    def _fill_layers(self, model: Any, group: Any, entry: dict[str, Any], *, twice: bool) -> None:
        """Fill the layers of a model, which the file names by class and number."""
        layers = {layer.name: layer for layer in model.layers}
        entries = _config(entry).get("layers") or [_entry_of(layer) for layer in model.layers]
        counts: Counter[str] = Counter()
        for each in entries:
            name = str(_config(each).get("name", each.get("name")))
            layer = layers.get(name, layers.get(name.replace("/", "_")))
            if layer is None:  # if it has weights, they are found to be left over
                continue
            place = _place(each["class_name"], group, counts)
            counts[each["class_name"]] += 2 if twice and layer.weights else 1
            self._fill_or_share(layer, place, each)

    def _fill_or_share(self, layer: Any, group: Any, entry: dict[str, Any]) -> None:
        """Fill a layer; one that stands in two models has a group in the first of them only."""
        number = entry.get("shared_object_id")
        if number is not None:
            group = self._groups.setdefault(number, group)
        if group is not None:
            self.fill(layer, group, entry)
        elif any(id(weight) not in self.assigned for weight in layer.weights):
            raise Unsupported(f"the file has no weights for layer {layer.name!r}", _HINT)

    def _fill_attribute(self, layer: Any, key: str, group: Any, entry: dict[str, Any]) -> None:
        import keras

        names = (key, key.lstrip("_"), f"_{key}")
        part = next((p for name in names if (p := getattr(layer, name, None)) is not None), None)
        inner = _config(entry).get(key)
        if isinstance(part, keras.layers.Layer):
            self.fill(part, group, inner if isinstance(inner, dict) else _entry_of(part))
        elif isinstance(part, (list, tuple, dict)):
            parts = part.values() if isinstance(part, dict) else part
            counts: Counter[str] = Counter()
            for each in parts:
                if isinstance(each, keras.layers.Layer):
                    kind = type(each).__name__
                    place = _place(kind, group, counts)
                    counts[kind] += 1
                    self._fill_or_share(each, place, _entry_of(each))
        else:
            raise Unsupported(
                f"layer {layer.name!r} has weights in {key!r}, which Keras 3 has no place for",
                _HINT,
            )


def _place(kind: str, group: Any, counts: Counter[str]) -> Any:
    """Return the group of the next layer of a class, or None where there is none."""
    number = f"_{counts[kind]}" if counts[kind] else ""
    found = (group.get(f"{name}{number}") for name in _snakes(kind))
    return next((place for place in found if place is not None), None)


def _snakes(kind: str) -> Iterator[str]:
    """Yield the ways in which Keras wrote a class: ``conv_lst_m2d`` and ``conv_lstm2d``."""
    plain = kind.rpartition(">")[2]
    for word in ("[A-Z][a-z0-9]+", "[A-Z][a-z]+"):
        name = re.sub(f"(.)({word})", r"\1_\2", plain)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        yield f"private{name}" if name.startswith("_") else name


def _config(entry: dict[str, Any]) -> dict[str, Any]:
    config = entry.get("config")
    return config if isinstance(config, dict) else {}


def _entry_of(layer: Any) -> dict[str, Any]:
    return {"class_name": type(layer).__name__, "config": {"name": layer.name}}


def _datasets(group: Any) -> Iterator[str]:
    """Yield the path of every dataset below a group."""
    import h5py

    for item in group.values():
        if isinstance(item, h5py.Dataset):
            yield item.name
        else:
            yield from _datasets(item)

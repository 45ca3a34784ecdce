"""How many weights a configuration asks for at least, by arithmetic alone.

Shapes travel from layer to layer as far as they are certain. So what is counted is a lower bound,
which no honest file exceeds by what it stores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from foldbn.frontends.layer_sizes import Shape, product, shape_of, size, weights_of
from foldbn.frontends.legacy.values import plain


class Demand(NamedTuple):
    """What a part of a model asks for.

    Attributes:
        weights: how many numbers its weights have at least.
        largest: how many numbers the greatest tensor for one sample has at least.
        shape: of a sample of its output; empty where it is not certain.
    """

    weights: int
    largest: int
    shape: Shape


def demand(config: Any, own: Collection[str] = ()) -> Demand:
    """Return what a model asks for.

    Args:
        config: of the model, as JSON gives it.
        own: classes of the user's, of which nothing is certain.
    """
    return _Reader(own).read(config, [])


class _Reader:
    """Reads a configuration; a layer that stands in several places of it counts once."""

    def __init__(self, own: Collection[str]) -> None:
        self._own = own
        self._seen: set[int] = set()

    def read(self, entry: Any, shapes: list[Shape]) -> Demand:
        """Return what a layer or model asks for, with inputs of these shapes."""
        if not isinstance(entry, dict) or str(entry.get("class_name")) in self._own:
            return Demand(0, 0, ())
        kind, config = str(entry.get("class_name")), entry.get("config")
        number = entry.get("shared_object_id")
        if kind == "Sequential" or isinstance(config, list):
            layers = config.get("layers") if isinstance(config, dict) else config
            found = self._in_turn(layers, shapes[0] if shapes else ())
        elif not isinstance(config, dict):
            return Demand(0, 0, ())
        elif isinstance(config.get("layers"), list):
            found = self._functional(config)
        else:
            found = self._layer(kind, config, shapes)
        if isinstance(number, int) and number in self._seen:
            found = found._replace(weights=0)
        elif isinstance(number, int):
            self._seen.add(number)
        return found._replace(largest=max(found.largest, product(found.shape)))

    def _in_turn(self, entries: Any, shape: Shape) -> Demand:
        entries = entries if isinstance(entries, list) else []
        total = Demand(0, 0, shape or (_declared(entries[0]) if entries else ()))
        for entry in entries:
            found = self.read(entry, [total.shape])
            largest = max(total.largest, found.largest)
            total = Demand(total.weights + found.weights, largest, found.shape)
        return total

    def _functional(self, config: dict[str, Any]) -> Demand:
        """Add up the layers in the order of the file; what reads a later one knows no shape."""
        known: dict[str, Shape] = {}
        weights = largest = 0
        for entry in config["layers"]:
            name, calls = _name(entry), _calls(entry)
            given = [known.get(source, ()) for source in _sources(calls[0])] if calls else []
            found = self.read(entry, given)
            weights, largest = weights + found.weights, max(largest, found.largest)
            known[name] = found.shape if len(calls) < 2 else ()  # each call gives its own
        outputs = list(_sources(config.get("output_layers")))
        return Demand(weights, largest, known.get(outputs[0], ()) if len(outputs) == 1 else ())

    def _layer(self, kind: str, config: dict[str, Any], shapes: list[Shape]) -> Demand:
        if kind == "InputLayer":
            shapes = [_declared({"config": config})]
        shape = shapes[0] if shapes else ()
        if kind == "TimeDistributed":
            inner = self.read(config.get("layer"), [shape[1:]])
            certain = shape and inner.shape
            return inner._replace(shape=(*shape[:1], *inner.shape) if certain else ())
        if kind == "Bidirectional":
            inner = self.read(config.get("layer"), [shape])
            return inner._replace(weights=2 * inner.weights)
        if kind == "RNN":
            return self.read(config.get("cell"), [shape[-1:]])._replace(shape=())
        if kind == "StackedRNNCells":
            return self._in_turn(config.get("cells"), shape)._replace(shape=())
        plain_config: dict[str, Any] = plain(config)
        if _channels_first(config):
            return Demand(weights_of(kind, plain_config, ()), 0, ())
        nested = [self.read(each, []) for each in config.values() if isinstance(each, dict)]
        return Demand(
            weights_of(kind, plain_config, shape) + sum(each.weights for each in nested),
            max([product(shape), *(each.largest for each in nested)]),
            shape_of(kind, plain_config, shapes),
        )


def _declared(entry: Any) -> Shape:
    """Return the shape that the first layer of a model declares for its input."""
    config = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(config, dict):
        return ()
    declared = plain(config.get("batch_shape", config.get("batch_input_shape")))
    return tuple(size(n) for n in declared[1:]) if isinstance(declared, list) else ()


def _channels_first(config: dict[str, Any]) -> bool:
    return config.get("data_format") == "channels_first" or config.get("dim_ordering") == "th"


def _name(entry: Any) -> str:
    inner = entry.get("config") if isinstance(entry, dict) else None
    name = entry.get("name") if isinstance(entry, dict) else None
    return str(name or (inner.get("name") if isinstance(inner, dict) else None))


def _calls(entry: Any) -> list[Any]:
    calls = entry.get("inbound_nodes") if isinstance(entry, dict) else None
    return calls if isinstance(calls, list) else []


def _sources(node: Any, depth: int = 0) -> Iterator[str]:
    """Yield the layers that a call reads, however old: ``[name, node, tensor]``."""
    if depth > 20:
        return
    inner: list[Any] = []
    if isinstance(node, dict):
        inner = list(node.values())
    elif isinstance(node, list):
        inner = node
        if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
            yield node[0]
            inner = node[3:]
    for each in inner:
        yield from _sources(each, depth + 1)

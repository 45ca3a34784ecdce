"""Rebuild Functional models, call by call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foldbn.errors import Unreadable
from foldbn.frontends.definitions import stranger
from foldbn.frontends.legacy.calling import call_layer
from foldbn.frontends.legacy.context import Rebuilding
from foldbn.frontends.legacy.nodes import Call, Reference, calls_of, ports, structured
from foldbn.frontends.legacy.repairs import repaired

_MODELS = ("Model", "Functional", "Network")

Node = tuple[str, int]


def is_functional(entry: dict[str, Any]) -> bool:
    """Whether a serialized object is a Functional model, or of a class derived from it."""
    config = entry.get("config")
    return isinstance(config, dict) and {"layers", "input_layers", "output_layers"} <= config.keys()


def functional(entry: dict[str, Any], rebuilding: Rebuilding) -> Any:
    """Return a Functional model of Keras 3.

    Layers without influence on the outputs are left out. Keras 2 keeps losses and metrics that
    were added to a model as layers of it: these are such.

    Raises:
        Unsupported: it cannot be rebuilt.
        Unreadable: its layers do not hang together.
    """
    config = entry["config"]
    graph = _Graph.of(config)
    inputs, outputs = ports(config["input_layers"]), ports(config["output_layers"])
    needed = graph.reachable(outputs)
    tensors: dict[Reference, Any] = {
        port: input_of(graph.entry(port.layer), rebuilding) for port in inputs
    }
    layers = {
        name: rebuilding.build(each)
        for name, each in graph.entries.items()
        if any(name == layer for layer, _ in needed)
    }
    rebuilding.skipped |= {
        name
        for name, each in graph.entries.items()
        if name not in layers and each["class_name"] != "InputLayer"
    }
    for (name, node), call in graph.in_order(needed, set(tensors)):
        found = call_layer(layers[name], call, tensors, rebuilding)
        tensors |= {Reference(name, node, index): x for index, x in enumerate(found)}
    if missing := [port for port in outputs if port not in tensors]:
        raise Unreadable(f"the configuration names an output that does not exist: {missing[0]}")
    made = _model_class(entry, rebuilding)(
        inputs=_single([tensors[port] for port in inputs]),
        outputs=_single(structured(config["output_layers"], tensors.__getitem__)),
        name=rebuilding.name_for(config.get("name")),
    )
    # Operations of keras.ops are no layers, and have no weights.
    rebuilding.parts[id(made)] = [x for x in layers.values() if hasattr(x, "weights")]
    stored = config["input_layers"]
    rebuilding.input_keys[id(made)] = (
        sorted(stored) if isinstance(stored, dict) else [port.layer for port in inputs]
    )
    return made


def input_of(entry: dict[str, Any], rebuilding: Rebuilding) -> Any:
    """Return the symbolic tensor of an InputLayer.

    Raises:
        Unsupported: the input is sparse or ragged.
        Unreadable: it is no InputLayer, or has no shape.
    """
    import keras

    if entry.get("class_name") != "InputLayer":
        raise Unreadable(f"the input {entry.get('name')!r} of a model is no InputLayer")
    config = repaired("InputLayer", entry["config"], rebuilding.writer).config
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if not isinstance(shape, list):
        raise Unreadable(f"the input {config.get('name')!r} has no shape: {shape!r}")
    name = rebuilding.name_for(config.get("name"))
    return keras.Input(batch_shape=tuple(shape), dtype=config.get("dtype"), name=name)


def _single(tensors: Any) -> Any:
    return tensors[0] if isinstance(tensors, list) and len(tensors) == 1 else tensors


def _model_class(entry: dict[str, Any], rebuilding: Rebuilding) -> Any:
    import keras

    kind = str(entry["class_name"]).rpartition(">")[2]
    if kind in rebuilding.own:
        return rebuilding.own[kind]
    if kind not in _MODELS:
        raise stranger(rebuilding.source, kind)
    return keras.Model


@dataclass(frozen=True)
class _Graph:
    """The layers of a Functional model and their calls.

    Attributes:
        entries: what the file says of each layer, by name and in order.
        calls: of each layer, in order.
        starts: the number of a layer's first call. Nested models were called once before, when
            they were made; versions differ on whether that counts.
    """

    entries: dict[str, dict[str, Any]]
    calls: dict[str, list[Call]]
    starts: dict[str, int]

    @classmethod
    def of(cls, config: dict[str, Any]) -> _Graph:
        entries = {str(entry["name"]): entry for entry in config["layers"]}
        calls = {name: calls_of(entry) for name, entry in entries.items()}
        last: dict[str, int] = {}
        used = [ref for each in calls.values() for call in each for ref in call.references()]
        for ref in [*used, *ports(config["output_layers"])]:
            last[ref.layer] = max(last.get(ref.layer, 0), ref.node)
        starts = {
            name: max(0, last.get(name, 0) - len(calls[name]) + 1) if _nested(entry) else 0
            for name, entry in entries.items()
        }
        return cls(entries, calls, starts)

    def entry(self, name: str) -> dict[str, Any]:
        if name not in self.entries:
            raise Unreadable(f"the configuration names a layer that does not exist: {name!r}")
        return self.entries[name]

    def call(self, node: Node) -> Call:
        name, index = node
        self.entry(name)
        at = index - self.starts[name]
        if not 0 <= at < len(self.calls[name]):
            raise Unreadable(f"the configuration names a call of {name!r} that does not exist")
        return self.calls[name][at]

    def reachable(self, outputs: list[Reference]) -> set[Node]:
        """Return the calls that the outputs depend on."""
        found: set[Node] = set()
        waiting = [(ref.layer, ref.node) for ref in outputs]
        while waiting:
            node = waiting.pop()
            if node in found or self.entry(node[0])["class_name"] == "InputLayer":
                continue
            found.add(node)
            waiting += [(ref.layer, ref.node) for ref in self.call(node).references()]
        return found

    def in_order(self, needed: set[Node], inputs: set[Reference]) -> Iterator[tuple[Node, Call]]:
        """Yield calls so that each comes after those it reads, otherwise in the file's order."""
        ready = {(ref.layer, ref.node) for ref in inputs}
        waiting = [
            (name, index + self.starts[name])
            for name in self.entries
            for index in range(len(self.calls[name]))
            if (name, index + self.starts[name]) in needed
        ]
        while waiting:
            left = []
            for node in waiting:
                call = self.call(node)
                if all((ref.layer, ref.node) in ready for ref in call.references()):
                    yield node, call
                    ready.add(node)
                else:
                    left.append(node)
            if len(left) == len(waiting):
                raise Unreadable(f"the layers of a model wait for each other: {left[0][0]!r}")
            waiting = left


def _nested(entry: dict[str, Any]) -> bool:
    return entry["class_name"] == "Sequential" or is_functional(entry)

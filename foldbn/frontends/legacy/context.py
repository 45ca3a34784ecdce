"""What the parts of one rebuilding share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from foldbn.frontends.legacy.writers import Writer


@dataclass
class Rebuilding:
    """One model on its way from a configuration to Keras 3.

    Attributes:
        source: the file, for messages.
        writer: who wrote it.
        own: classes and functions that the user has given, by name.
        build: returns a layer or model from its serialized form; nested ones come through it.
        unsafe: whether Lambda layers may run the code that the file holds.
        originals: layers that had to be renamed: their name in the file, by the new one.
        parts: layers of each rebuilt model in the order of the file, by the model's id.
        input_keys: names by which a nested model can be given its inputs, by its id.
        shared: layers that the file names in several places, by its number for them.
        skipped: layers without influence on the outputs, which were not built.
        declared: layers of whose outputs the file states the shape.
    """

    source: str
    writer: Writer
    own: dict[str, Any]
    build: Callable[[dict[str, Any]], Any]
    unsafe: bool = False
    originals: dict[str, str] = field(default_factory=dict)
    parts: dict[int, list[Any]] = field(default_factory=dict)
    input_keys: dict[int, list[str]] = field(default_factory=dict)
    shared: dict[int, Any] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    declared: list[tuple[Any, tuple[int | None, ...]]] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def name_for(self, name: Any) -> Any:
        """Return a name that Keras 3 takes for a layer: it allows no slash."""
        if not isinstance(name, str) or "/" not in name:
            self._taken.add(name)
            return name
        free = base = name.replace("/", "_")
        number = 0
        while free in self._taken:
            number += 1
            free = f"{base}_{number}"
        self._taken.add(free)
        self.originals[free] = name
        return free

    def original(self, layer: Any) -> str:
        """Return the name that a layer has in the file."""
        return self.originals.get(layer.name, str(layer.name))

    def layers_of(self, model: Any) -> list[Any]:
        """Return the layers of a rebuilt model, in the order of the file."""
        return self.parts.get(id(model), list(model.layers))

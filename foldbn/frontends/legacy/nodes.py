"""Read how layers are called: the inbound nodes of a Functional configuration.

Keras 1 and 2 write a call as a structure of ``[layer, node, tensor, kwargs]``; tensors among
the keyword arguments are ``[layer, node, tensor]``. Keras 3 writes args and kwargs with
``__keras_tensor__`` objects in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from foldbn.errors import Unreadable

_CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True)
class Reference:
    """One output of one call of a layer.

    Attributes:
        layer: its name.
        node: which of its calls, as the file counts.
        tensor: which output.
    """

    layer: str
    node: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """One call of a layer, with a Reference in the place of each tensor.

    Attributes:
        args: positional arguments.
        kwargs: keyword arguments.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def references(self) -> Iterator[Reference]:
        """Yield every tensor that the call reads."""
        yield from _references([list(self.args), self.kwargs])


def calls_of(entry: dict[str, Any]) -> list[Call]:
    """Return the calls of a layer of a Functional model, in order."""
    nodes = entry.get("inbound_nodes") or []
    return [_keras_3(node) if _is_keras_3(node) else _older(node) for node in nodes]


def ports(structure: Any) -> list[Reference]:
    """Return the references in ``input_layers`` or ``output_layers``, flattened as Keras does.

    Raises:
        Unreadable: there is something else in it.
    """
    if _is_reference(structure):
        return [Reference(*structure[:3])]
    if isinstance(structure, dict):
        return [port for key in sorted(structure) for port in ports(structure[key])]
    if isinstance(structure, list):
        return [port for part in structure for port in ports(part)]
    raise Unreadable(f"the configuration names an input or output that is none: {structure!r}")


def structured(structure: Any, tensor: Callable[[Reference], Any]) -> Any:
    """Return what `ports` takes with `tensor` of each reference in its place."""
    if _is_reference(structure):
        return tensor(Reference(*structure[:3]))
    if isinstance(structure, dict):
        return {key: structured(each, tensor) for key, each in structure.items()}
    return [structured(each, tensor) for each in structure]


def replace_references(value: Any, tensor: Callable[[Reference], Any]) -> Any:
    """Return a structure with `tensor` of each Reference in its place."""
    if isinstance(value, Reference):
        return tensor(value)
    if isinstance(value, dict):
        return {key: replace_references(each, tensor) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(replace_references(each, tensor) for each in value)
    return value


def _references(value: Any) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _references(each)


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and value[0] != _CONSTANT
        and all(isinstance(number, int) for number in value[1:3])
    )


def _is_constant(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and value[0] == _CONSTANT


def _older(node: Any) -> Call:
    kwargs: dict[str, Any] = {}

    def read(part: Any) -> Any:
        if _is_constant(part) or _is_reference(part):
            if len(part) > 3 and isinstance(part[3], dict):
                kwargs.update(part[3])
            return part[2] if _is_constant(part) else Reference(*part[:3])
        if isinstance(part, dict):
            return {key: read(each) for key, each in part.items()}
        return [read(each) for each in part] if isinstance(part, list) else part

    first = read(node)
    if isinstance(first, list) and len(first) == 1:
        (first,) = first  # a layer of one input is called with it, not with a list
    return Call((first,), {key: _argument(value) for key, value in kwargs.items()})


def _argument(value: Any) -> Any:
    """Return a keyword argument with References for the tensors in it."""
    if _is_reference(value):
        return Reference(*value[:3])
    if _is_constant(value):
        return value[2]
    if isinstance(value, list):
        return [_argument(each) for each in value]
    if isinstance(value, dict):
        return {key: _argument(each) for key, each in value.items()}
    return value


def _is_keras_3(node: Any) -> bool:
    return isinstance(node, dict) and node.keys() == {"args", "kwargs"}


def _keras_3(node: dict[str, Any]) -> Call:
    return Call(
        tuple(_keras_3_value(each) for each in node["args"]), _keras_3_value(node["kwargs"])
    )


def _keras_3_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_keras_3_value(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__keras_tensor__":
        return Reference(*value["config"]["keras_history"])
    return {key: _keras_3_value(each) for key, each in value.items()}

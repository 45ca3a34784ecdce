"""Which entry of its checkpoint is the value of a variable, told by a SavedModel's own objects.

Keras 3 makes two variables of each of its own: one that the signatures read, and a copy that the
restore op of the graph fills. What belongs together then stands in the objects alone: a function
names the objects that it captures, an object its children, and the checkpoint the entry of each.
TensorFlow loads such a model the same way; here nothing is revived.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foldbn.frontends.frozen import is_control, node_of
from foldbn.frontends.saver import Entry

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_VALUE = "VARIABLE_VALUE"


def held_by_objects(meta: Any, stored: bytes) -> dict[str, Entry]:
    """Return the checkpoint's entry for each variable that a call in the graph captures.

    Args:
        meta: the MetaGraphDef.
        stored: the checkpoint's entry `KEY`, a TrackableObjectGraph.

    Returns:
        Entries by the name of the variable's node.
    """
    keys = _keys(meta.object_graph_def, stored)
    return {
        handle: Entry(keys[place], "")
        for handle, place in _captured(meta)
        if place in keys and meta.object_graph_def.nodes[place].WhichOneof("kind") == "variable"
    }


def _captured(meta: Any) -> Iterator[tuple[str, int]]:
    """Yield the node of each tensor that a call passes for what its function captured.

    With it comes the object's place; captured tensors are the last of a call's inputs.
    """
    functions = meta.object_graph_def.concrete_functions
    for node in meta.graph_def.node:
        name = node.attr["f"].func.name if node.op in _CALLS else ""
        if name in functions:
            bound = functions[name].bound_inputs
            data = [node_of(source) for source in node.input if not is_control(source)]
            yield from zip(data[max(0, len(data) - len(bound)) :], bound, strict=False)


def _keys(objects: Any, stored: bytes) -> dict[int, str]:
    """Return the key of each variable, by its place among the model's objects.

    Both graphs of objects are walked from the root by the names of the children: those of the
    checkpoint may have other places.
    """
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    kept = trackable_object_graph_pb2.TrackableObjectGraph.FromString(stored)
    keys: dict[int, str] = {}
    seen, waiting = {0}, [(0, 0)] if objects.nodes and kept.nodes else []
    while waiting:
        place, there = waiting.pop()
        for attribute in kept.nodes[there].attributes:
            if attribute.name == _VALUE:
                keys[place] = attribute.checkpoint_key
        below = {child.local_name: child.node_id for child in kept.nodes[there].children}
        for child in objects.nodes[place].children:
            if child.local_name in below and child.node_id not in seen:
                seen.add(child.node_id)
                waiting.append((child.node_id, below[child.local_name]))
    return keys

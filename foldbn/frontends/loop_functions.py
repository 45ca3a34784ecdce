"""Make functions of the condition and the body of a loop of TensorFlow 1."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from foldbn.frontends.frozen import GraphDef, NodeDef, empty_like, node_of, tensor_name

_ARGUMENT = "foldbn_argument_"

Shape = list[int] | None


class Loop(NamedTuple):
    """A loop that has no other inside.

    Attributes:
        frame: its name.
        merges: one for each of its variables.
        switches: the same.
        exits: the same; None where nothing comes out.
        enters: of the variables, and then of what stays the same.
        test: the tensor that says whether to go on.
    """

    frame: str
    merges: list[NodeDef]
    switches: list[NodeDef | None]
    exits: list[NodeDef | None]
    enters: list[NodeDef]
    test: str

    @property
    def name(self) -> str:
        """The name of the While node that takes its place."""
        return f"{self.frame}/While".lstrip("/")


class Functions(NamedTuple):
    """What a loop does, as functions of a counter, the most rounds, and all that enters.

    Attributes:
        body: returns the same, one round later.
        test: returns whether to go on.
        shapes: of all that enters.
        elements: of what is set in the list that a variable is, by the variable's place.
    """

    body: Any
    test: Any
    shapes: list[Shape]
    elements: dict[int, Shape]


def bounds_of(loop: Loop) -> set[str]:
    """Return the nodes at which what is inside a loop ends."""
    switches = [switch for switch in loop.switches if switch is not None]
    return {node.name for node in (*loop.merges, *switches, *loop.enters)}


def closure(tensors: list[str], nodes: dict[str, NodeDef], bounds: set[str]) -> list[str]:
    """Return the nodes that tensors are computed by, up to the bounds of a loop."""
    found: dict[str, None] = {}
    waiting = [node_of(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in bounds and name not in found:
            found[name] = None
            waiting += [node_of(source) for source in nodes[name].input]
    return list(found)


def make_functions(graph_def: GraphDef, loop: Loop) -> Functions:
    """Return a loop's condition and body as functions of all that enters it.

    A variable has the shape that it enters with, unless the body gives it another.
    """
    nodes = {node.name: node for node in graph_def.node}
    ends = [nodes[node_of(merge.input[1])].input[0] for merge in loop.merges]
    shapes = _shapes(graph_def, [enter.input[0] for enter in loop.enters])
    while True:
        body, after, elements = _function(graph_def, loop, ends, shapes, "body")
        loose = [i for i, own in enumerate(after) if shapes[i] is not None and shapes[i] != own]
        if not loose:
            break
        for index in loose:
            shapes[index] = _common(shapes[index], after[index])
    test, _, _ = _function(graph_def, loop, [loop.test], shapes, "cond")
    return Functions(body, test, shapes, elements)


def _common(one: Shape, two: Shape) -> Shape:
    if one is None or two is None or len(one) != len(two):
        return None
    return [a if a == b else -1 for a, b in zip(one, two, strict=True)]


def set_shape(proto: Any, shape: Shape) -> None:
    """Write a shape into a TensorShapeProto."""
    if shape is None:
        proto.unknown_rank = True
    else:
        for length in shape:
            proto.dim.add(size=length)


def _shapes(graph_def: GraphDef, tensors: list[str]) -> list[Shape]:
    """Return the shapes of tensors as far as TensorFlow infers them."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return [_shape_of(graph.get_tensor_by_name(t if ":" in t else f"{t}:0")) for t in tensors]


def _shape_of(tensor: Any) -> Shape:
    if tensor.shape.rank is None:
        return None
    return [-1 if length is None else length for length in tensor.shape.as_list()]


def _function(
    graph_def: GraphDef, loop: Loop, tensors: list[str], shapes: list[Shape], suffix: str
) -> tuple[Any, list[Shape], dict[int, Shape]]:
    """Return a function of all that enters a loop.

    Args:
        graph_def: what the loop is in.
        loop: the loop.
        tensors: that it computes; what stays the same follows, but for the condition.
        shapes: of all that enters.
        suffix: of the function's name.

    Returns:
        The function, the shapes of what it computes, and of what it sets in the list that each
        variable is.
    """
    import tensorflow as tf
    from tensorflow.python.framework.graph_to_function_def import graph_to_function_def

    nodes = {node.name: node for node in graph_def.node}
    moved: dict[str, str] = {}
    part = empty_like(graph_def)
    for index, enter in enumerate(loop.enters):
        argument = part.node.add(name=f"{_ARGUMENT}{index}", op="Placeholder")
        argument.attr["dtype"].CopyFrom(enter.attr["T"])
        set_shape(argument.attr["shape"].shape, shapes[index])
        moved[enter.name] = argument.name
        if index < len(loop.merges):
            moved[loop.merges[index].name] = argument.name
            if (switch := loop.switches[index]) is not None:
                moved[f"{switch.name}:1"] = argument.name
    for name in closure(tensors, nodes, bounds_of(loop)):
        copy = part.node.add()
        copy.CopyFrom(nodes[name])
        for place, source in enumerate(copy.input):
            copy.input[place] = moved.get(tensor_name(source), source)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(part, name="")
        counter, most = (tf.compat.v1.placeholder(tf.int32, [], name) for name in ("i", "most"))
        counted = tf.add(counter, 1)
    arguments = [graph.get_tensor_by_name(f"{_ARGUMENT}{i}:0") for i in range(len(loop.enters))]
    found = []
    for tensor in tensors:
        name = moved.get(tensor_name(tensor), tensor)
        found.append(graph.get_tensor_by_name(name if ":" in name else f"{name}:0"))
    after = [_shape_of(tensor) for tensor in found]
    if suffix == "body":
        found = [counted, most, *found, *arguments[len(found) :]]
    arguments = [counter, most, *arguments]
    function = graph_to_function_def(graph, graph.get_operations(), arguments, found)
    # TensorFlow keeps one table of functions for a whole process: the name tells the content.
    content = function.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content).hexdigest()[:16]
    function.signature.name = f"{loop.name.replace('/', '_')}_{suffix}_{digest}"
    return function, after, _elements(graph, len(loop.merges))


def _elements(graph: Any, count: int) -> dict[int, Shape]:
    """Return the shapes of what is set in the lists among the first arguments."""
    elements: dict[int, Shape] = {}
    for operation in graph.get_operations():
        if operation.type != "TensorListSetItem":
            continue
        origin = operation.inputs[0].op
        while origin.type in ("Identity", "TensorListSetItem"):
            origin = origin.inputs[0].op
        _, _, index = origin.name.partition(_ARGUMENT)
        if index and int(index) < count:
            elements[int(index)] = _shape_of(operation.inputs[2])
    return elements

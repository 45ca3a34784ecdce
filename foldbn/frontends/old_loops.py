r"""Write the loops of TensorFlow 1 as While nodes: cycles can neither be read nor exported.

    Enter -> Merge <- NextIteration <- body
               |  \
             cond  Switch -> body, Exit
               |   /
             LoopCond

becomes ``While(0, -1, Enter's inputs) -> Exit's outputs`` with a function for the condition and one
for the body. What comes into the loop and stays the same is handed through. The first two inputs
are a counter and the most rounds, which TensorFlow 2 writes before all others and tf2onnx expects.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from foldbn.errors import Unsupported
from foldbn.frontends.frozen import (
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    node_of,
    prune,
    tensor_name,
)
from foldbn.frontends.loop_functions import (
    Loop,
    Shape,
    bounds_of,
    closure,
    make_functions,
    set_shape,
)
from foldbn.frontends.tensor_arrays import with_lists

_ENTERS, _EXITS, _NEXT = ("Enter", "RefEnter"), ("Exit", "RefExit"), "NextIteration"
_INT32 = 3  # DT_INT32
_OWN = 2  # inputs that every While of TensorFlow 2 has before the loop's variables


def with_whiles(graph_def: GraphDef, keep: tuple[str, ...]) -> GraphDef:
    """Return the graph, of constants and without control inputs, with its loops as While nodes.

    Args:
        graph_def: the graph.
        keep: the nodes that are wanted.

    Raises:
        Unsupported: a loop is of a form that TensorFlow's while_loop does not write.
    """
    if not has_old_loops(graph_def):
        return graph_def
    graph_def = prune(with_lists(graph_def), keep)
    while (loop := _innermost(graph_def)) is not None:
        graph_def = prune(_replaced(graph_def, loop), keep)
    return graph_def


def has_old_loops(graph_def: GraphDef) -> bool:
    """Whether a graph has loops or arrays of TensorFlow 1."""
    return any(node.op in ("LoopCond", "TensorArrayV3") for node in graph_def.node)


def _innermost(graph_def: GraphDef) -> Loop | None:
    nodes = {node.name: node for node in graph_def.node}
    tests = [node for node in graph_def.node if node.op == "LoopCond"]
    for test in tests:
        loop = _loop_of(test, graph_def, nodes)
        ends = [nodes[node_of(merge.input[1])].input[0] for merge in loop.merges]
        inside = closure([*ends, loop.test], nodes, bounds_of(loop))
        if not any(nodes[name].op in ("LoopCond", *_ENTERS) for name in inside):
            return loop
    if tests:
        raise _odd(tests[0].name)
    return None


def _loop_of(test: NodeDef, graph_def: GraphDef, nodes: dict[str, NodeDef]) -> Loop:
    switches = [
        node
        for node in graph_def.node
        if node.op == "Switch" and node_of(node.input[1]) == test.name
    ]
    by_merge = {node_of(switch.input[0]): switch for switch in switches}
    frames = {
        nodes[node_of(nodes[name].input[0])].attr["frame_name"].s.decode() for name in by_merge
    }
    if len(frames) != 1:
        raise _odd(test.name)
    (frame,) = frames
    enters = [
        node
        for node in graph_def.node
        if node.op in _ENTERS and node.attr["frame_name"].s.decode() == frame
    ]
    own = {node.name for node in enters}
    merges = [n for n in graph_def.node if n.op == "Merge" and node_of(n.input[0]) in own]
    if any(nodes[node_of(merge.input[1])].op != _NEXT for merge in merges):
        raise _odd(test.name)
    exits = {node_of(node.input[0]): node for node in graph_def.node if node.op in _EXITS}
    first = [nodes[node_of(merge.input[0])] for merge in merges]
    known = {node.name for node in first}
    found = [by_merge.get(merge.name) for merge in merges]
    return Loop(
        frame=frame,
        merges=merges,
        switches=found,
        exits=[None if switch is None else exits.get(switch.name) for switch in found],
        enters=[*first, *(node for node in enters if node.name not in known)],
        test=test.input[0],
    )


def _odd(name: str) -> Unsupported:
    return Unsupported(
        f"the loop of TensorFlow 1 around {name!r} has a form that foldbn does not know",
        "export the model again with tf.compat.v1.enable_control_flow_v2()",
    )


def _replaced(graph_def: GraphDef, loop: Loop) -> GraphDef:
    functions = make_functions(graph_def, loop)
    result = _without(graph_def, loop)
    result.library.function.extend([functions.body, functions.test])
    _tell_elements(result, loop, functions.elements)
    own = [f"{loop.name}/counter", f"{loop.name}/most_rounds"]
    for name, number in zip(own, (0, -1), strict=True):
        add_constant(result, name, np.asarray(number, np.int32))
    node = result.node.add(name=loop.name, op="While", input=own)
    node.input.extend(enter.input[0] for enter in loop.enters)
    kinds = [_INT32] * _OWN + [enter.attr["T"].type for enter in loop.enters]
    node.attr["T"].list.type.extend(kinds)
    node.attr["body"].func.name = functions.body.signature.name
    node.attr["cond"].func.name = functions.test.signature.name
    node.attr["parallel_iterations"].i = 10
    for shape in ([], [], *functions.shapes):
        set_shape(node.attr["output_shapes"].list.shape.add(), shape)
    return result


def _output(loop: Loop, index: int) -> str:
    return f"{loop.name}:{index + _OWN}"


def _without(graph_def: GraphDef, loop: Loop) -> GraphDef:
    """Return the graph whose readers of a loop's exits read the While node."""
    moved = {
        node.name: _output(loop, index) for index, node in enumerate(loop.exits) if node is not None
    }
    result = empty_like(graph_def)
    for node in graph_def.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        for place, source in enumerate(node.input):
            copy.input[place] = moved.get(tensor_name(source), source)
    return result


def _tell_elements(graph_def: GraphDef, loop: Loop, elements: Mapping[int, Shape]) -> None:
    """Write the shape of a list's elements where the list is made, and where it is stacked."""
    nodes = {node.name: node for node in graph_def.node}
    for index, shape in elements.items():
        if shape is None:
            continue
        made = nodes[node_of(loop.enters[index].input[0])]
        out = _output(loop, index)
        stacks = [n for n in graph_def.node if n.op == "TensorListStack" and n.input[0] == out]
        places = [(made, 0)] if made.op == "TensorListReserve" else []
        for node, place in (*places, *((stack, 1) for stack in stacks)):
            name = f"{node.name}/known_element_shape"
            add_constant(graph_def, name, np.asarray(shape, np.int32))
            node.input[place] = name

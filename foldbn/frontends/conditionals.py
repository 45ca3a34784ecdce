"""Take the branch that a constant predicate chooses, and drop the other.

A model that was trained has every BatchNormalization and Dropout twice: once with the batch's own
statistics, once with the moving ones, and a learning phase that chooses. Once the phase is known:

    Switch(x, False) -> x at port 0, port 1 is dead
    Merge(dead, y)   -> y
    If(False, ...)   -> a call of the else branch

The deadness of TensorFlow 1 runs along control inputs too: a constant in a branch has no other tie
to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.frozen import (
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    is_control,
    node_of,
    tensor_name,
)
from foldbn.frontends.pure_ops import ALLOWED

SWITCHES = ("Switch", "RefSwitch")
MERGES = ("Merge", "RefMerge")
LOOPS = ("Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "RefNextIteration", "LoopCond")
_BRANCHES = {"If": ("else_branch", "then_branch"), "StatelessIf": ("else_branch", "then_branch")}
_CASES = ("Case", "StatelessCase")
_MOST = 1000  # nodes that a predicate may be computed from


def settle_conditionals(graph_def: GraphDef) -> tuple[GraphDef, bool]:
    """Return the graph without those conditionals whose predicate is constant.

    Returns:
        The graph, in which an If has become a call of its branch, and whether anything changed.
    """
    known = _predicates(graph_def)
    if not known:
        return graph_def, False
    result = empty_like(graph_def)
    kinds = {node.name: node.op for node in graph_def.node}
    moved, dead = _moved_and_dead(graph_def, known)
    for node in graph_def.node:
        if node.name in dead or (node.name in known and node.op in SWITCHES):
            continue
        copy = result.node.add()
        copy.CopyFrom(node)
        if node.name in known:
            _call(copy, known[node.name])
        live = [s for s in node.input if not is_control(s) and not _is_dead(s, moved, dead)]
        if node.op in MERGES and len(live) == 1 and not _closes_loop(node, kinds):
            moved[f"{node.name}:1"] = _take(result, copy, live[0])
        data = [_follow(s, moved) for s in copy.input if not is_control(s)]
        controls = [s for s in copy.input if is_control(s)]
        kept = [c for s in controls if (c := _follow_control(s, known, moved, dead)) is not None]
        del copy.input[:]
        copy.input.extend([*data, *dict.fromkeys(kept)])
    for node in result.node:  # who reads the second output of a Merge
        for place, source in enumerate(node.input):
            node.input[place] = _follow(source, moved)
    return result, True


def _predicates(graph_def: GraphDef) -> dict[str, int]:
    """Return the index of the branch taken by each conditional of known predicate."""
    nodes = {node.name: node for node in graph_def.node}
    asked: dict[str, str] = {}
    for node in graph_def.node:
        if node.op in SWITCHES:
            asked[node.name] = node.input[1]
        elif node.op in _BRANCHES or node.op in _CASES:
            asked[node.name] = node.input[0]
    tensors = dict.fromkeys(tensor_name(source) for source in asked.values())
    values = {t: v for t in tensors if (v := constant_value(t, nodes, graph_def)) is not None}
    found = {}
    for name, source in asked.items():
        value = values.get(tensor_name(source))
        if value is not None:
            found[name] = _branch(nodes[name], value)
    return found


def _branch(node: NodeDef, value: NDArray[Any]) -> int:
    if node.op in _CASES:
        last = len(node.attr["branches"].list.func) - 1
        index = int(value)
        return index if 0 <= index <= last else last
    # A number is true where it is not zero, and any other tensor where it is not empty.
    return int(bool(value) if value.ndim == 0 else value.size > 0)


def constant_value(
    tensor: str, nodes: dict[str, NodeDef], graph_def: GraphDef
) -> NDArray[Any] | None:
    """Return what a tensor is if it depends on nothing but small constants."""
    from tensorflow.python.framework import op_def_registry, tensor_util

    needed: dict[str, NodeDef] = {}
    waiting = [node_of(tensor)]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        node = nodes.get(name)
        definition = None if node is None else op_def_registry.get(node.op)
        if node is None or definition is None or definition.is_stateful or len(needed) > _MOST:
            return None
        data = [node_of(source) for source in node.input if not is_control(source)]
        if node.op in (*SWITCHES, *MERGES, *LOOPS) or not (data or node.op == "Const"):
            return None
        if node.op not in ALLOWED:
            return None
        if any(value.HasField("func") or value.list.func for value in node.attr.values()):
            return None
        needed[name] = node
        waiting += data
    first = nodes[node_of(tensor)]
    if first.op == "Const":
        return np.asarray(tensor_util.MakeNdarray(first.attr["value"].tensor))
    return _evaluate(tensor, needed, graph_def)


def _evaluate(tensor: str, needed: dict[str, NodeDef], graph_def: GraphDef) -> NDArray[Any]:
    import tensorflow as tf

    part = empty_like(graph_def)
    part.ClearField("library")
    for node in needed.values():
        copy = part.node.add()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(source for source in node.input if not is_control(source))
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(part, name="")
    options = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    with tf.compat.v1.Session(graph=graph, config=options) as session:
        return np.asarray(session.run(tensor if ":" in tensor else f"{tensor}:0"))


def _moved_and_dead(graph_def: GraphDef, known: dict[str, int]) -> tuple[dict[str, str], set[str]]:
    """Return where the live tensors of settled switches come from, and the nodes that are dead.

    Dead tensors of a node that lives in part, which only a Switch does, are moved to ``""``.
    """
    moved: dict[str, str] = {}
    for node in graph_def.node:
        if node.op in SWITCHES and node.name in known:
            ports = (node.name, f"{node.name}:1")
            moved[ports[known[node.name]]] = tensor_name(node.input[0])
            moved[ports[1 - known[node.name]]] = ""
    dead: set[str] = set()
    changed = True
    while changed:
        changed = False
        for node in graph_def.node:
            if node.name not in dead and _dies(node, moved, dead):
                dead.add(node.name)
                changed = True
    return moved, dead


def _dies(node: NodeDef, moved: dict[str, str], dead: set[str]) -> bool:
    data = [source for source in node.input if not is_control(source)]
    gone = [_is_dead(source, moved, dead) for source in data]
    if node.op in MERGES:
        return bool(gone) and all(gone)
    return any(gone) or any(node_of(s) in dead for s in node.input if is_control(s))


def _is_dead(source: str, moved: dict[str, str], dead: set[str]) -> bool:
    return node_of(source) in dead or _follow(source, moved) == ""


def _follow(source: str, moved: dict[str, str]) -> str:
    if is_control(source):
        return source
    tensor = tensor_name(source)
    while moved.get(tensor):
        tensor = moved[tensor]
    return moved.get(tensor, tensor)


def _follow_control(
    source: str, known: dict[str, int], moved: dict[str, str], dead: set[str]
) -> str | None:
    """Return a control input as it is to be: one on a settled switch is on what it let through."""
    name = node_of(source)
    if name in dead:
        return None
    while name in known and (name in moved or f"{name}:1" in moved):
        name = node_of(moved[name] or moved[f"{name}:1"])
    return f"^{name}"


def _closes_loop(merge: NodeDef, kinds: dict[str, str]) -> bool:
    return any("NextIteration" in kinds.get(node_of(source), "") for source in merge.input)


def _take(graph_def: GraphDef, merge: NodeDef, source: str) -> str:
    """Let a Merge hand on the one input that lives; return what holds its second output."""
    index = list(merge.input).index(source)
    controls = [each for each in merge.input if is_control(each)]
    del merge.input[:]
    merge.input.extend([source, *controls])
    merge.op = "Identity"
    merge.attr.pop("N", None)
    name = f"{merge.name}/index"
    add_constant(graph_def, name, np.asarray(index, np.int32))
    return name


def _call(node: NodeDef, branch: int) -> None:
    """Turn a conditional into the call of one of its functions."""
    if node.op in _CASES:
        function = node.attr["branches"].list.func[branch]
    elif node.op in _BRANCHES:
        function = node.attr[_BRANCHES[node.op][branch]].func
    else:
        return
    kinds = {name: type(node.attr[name])() for name in ("Tin", "Tout")}
    for name, kind in kinds.items():
        kind.CopyFrom(node.attr[name])
    chosen = type(function)()
    chosen.CopyFrom(function)
    node.op = "StatefulPartitionedCall"
    node.attr.clear()
    for name, kind in kinds.items():
        node.attr[name].CopyFrom(kind)
    node.attr["f"].func.CopyFrom(chosen)
    del node.input[0]

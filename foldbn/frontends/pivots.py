"""Tie the constants in the branches of TensorFlow 1 to these by data, not by control inputs.

A frozen graph has no control inputs. But a constant inside a branch has no other tie to it:
without one it would live in both branches at once. So each gets what TensorFlow itself puts
before a tensor that comes from outside:

    Const, ^pivot of a branch  ->  Const -> Switch(predicate) at the branch's port
"""

from __future__ import annotations

from foldbn.frontends.conditionals import LOOPS, MERGES, SWITCHES
from foldbn.frontends.frozen import GraphDef, NodeDef, empty_like, is_control, node_of


def tie_constants(graph_def: GraphDef) -> GraphDef:
    """Return the graph with every constant of a branch tied to it by data."""
    if not any(node.op in SWITCHES for node in graph_def.node):
        return graph_def
    nodes = {node.name: node for node in graph_def.node}
    result = empty_like(graph_def)
    added: dict[tuple[str, str], str] = {}
    for node in graph_def.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        for place, source in enumerate(node.input):
            origin = nodes[node_of(source)]
            if is_control(source) or not _is_loose(origin):
                continue
            if (pivot := _branch_of(origin, nodes)) is not None:
                copy.input[place] = _switched(result, origin, *pivot, added)
    return result


def nodes_in_branches(graph_def: GraphDef) -> set[str]:
    """Return the nodes that a run may pass over, and that cannot be asked for their value.

    Args:
        graph_def: in topological order.
    """
    inside: set[str] = set()
    for node in graph_def.node:
        below = any(node_of(source) in inside for source in node.input)
        if node.op in SWITCHES or (below and node.op not in MERGES):
            inside.add(node.name)
    return inside


def _is_loose(node: NodeDef) -> bool:
    return node.op == "Const" and bool(node.input)


def _branch_of(node: NodeDef, nodes: dict[str, NodeDef]) -> tuple[NodeDef, int] | None:
    """Return the Switch, and its port, of the branch that a constant hangs on."""
    waiting = [node_of(source) for source in node.input]
    seen: set[str] = set()
    port = {node_of(source): 0 for source in node.input}
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        found = nodes[name]
        if found.op in SWITCHES:
            return None if _is_of_loop(found, nodes) else (found, port[name])
        if found.op in (*MERGES, *LOOPS):
            continue
        for source in found.input:
            below = node_of(source)
            port.setdefault(below, int(source.partition(":")[2] or 0))
            waiting.append(below)
    return None


def _is_of_loop(switch: NodeDef, nodes: dict[str, NodeDef]) -> bool:
    node = nodes[node_of(switch.input[1])]
    while node.op == "Identity":
        node = nodes[node_of(node.input[0])]
    return bool(node.op == "LoopCond")


def _switched(
    graph_def: GraphDef,
    node: NodeDef,
    switch: NodeDef,
    port: int,
    added: dict[tuple[str, str], str],
) -> str:
    """Return a constant as a tensor that lives where the port of a Switch lives."""
    key = (node.name, switch.name)
    if key not in added:
        added[key] = f"{node.name}/switch_{len(added)}"
        new = graph_def.node.add(name=added[key], op="Switch", input=[node.name, switch.input[1]])
        new.attr["T"].CopyFrom(node.attr["dtype"])
    return f"{added[key]}:{port}" if port else added[key]

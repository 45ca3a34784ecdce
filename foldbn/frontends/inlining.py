"""Inline the functions that a graph calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foldbn.frontends.frozen import GraphDef

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_COMPILED = "_XlaMustCompile"
_LEFT_ALONE = (_COMPILED, "_noinline")
_EFFECTS = "foldbn_effects"
_SECOND = "api_implements"  # marks a function that has a second body for another device

COMPILED = "_foldbn_compiled"  # marks a node of a function that XLA was to compile


def inline(graph_def: GraphDef, ports: list[str]) -> GraphDef:
    """Return a graph without calls, by TensorFlow's own rewriter.

    Functions that XLA was to compile are inlined too, and their nodes are marked as `COMPILED`;
    Keras asks for it in grouped convolutions.

    Args:
        graph_def: the graph, which may be changed.
        ports: tensors that keep their names.
    """
    _keep_control_flow(graph_def)
    before = -1
    while (count := sum(node.op in _CALLS for node in graph_def.node)) not in (0, before):
        before, graph_def = count, _inline_once(graph_def, ports)
    return graph_def


def _inline_once(graph_def: GraphDef, ports: list[str]) -> GraphDef:
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer
    from tensorflow.python.training.saver import export_meta_graph

    functions = graph_def.library.function
    _mark_compiled(functions)
    for part in (*functions, *graph_def.node, *(n for f in functions for n in f.node_def)):
        for attribute in (*_LEFT_ALONE, _SECOND):
            part.attr.pop(attribute, None)
    # A call is left alone unless something waits for what it does besides its outputs.
    calls = [f"^{node.name}" for node in graph_def.node if node.op in _CALLS]
    graph_def.node.add(name=_EFFECTS, op="NoOp", input=calls)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    meta_graph = export_meta_graph(graph_def=graph_def, graph=graph)
    meta_graph.collection_def["train_op"].node_list.value.extend([*ports, _EFFECTS])
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1
    rewriting.optimizers.append("function")
    result = tf_optimizer.OptimizeGraph(config, meta_graph)
    effects = next(node for node in result.node if node.name == _EFFECTS)
    result.node.remove(effects)
    return result


def forget_compiled(graph_def: GraphDef) -> None:
    """Take the marks off again, which no exporter knows."""
    for node in (*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)):
        node.attr.pop(COMPILED, None)


def _mark_compiled(functions: Sequence[Any]) -> None:
    """Mark the nodes of functions that XLA was to compile, and of those that they call."""
    named = {function.signature.name: function for function in functions}
    waiting = [f.signature.name for f in functions if _COMPILED in f.attr and f.attr[_COMPILED].b]
    done: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in done or name not in named:
            continue
        done.add(name)
        for node in named[name].node_def:
            node.attr[COMPILED].b = True
            if node.op in _CALLS:
                waiting.append(node.attr["f"].func.name)


def _keep_control_flow(graph_def: GraphDef) -> None:
    """Let If and While stay single nodes: lowered ones no longer show what they read."""
    functions = graph_def.library.function
    for node in (*graph_def.node, *(n for f in functions for n in f.node_def)):
        if node.op in ("If", "StatelessIf", "While", "StatelessWhile"):
            node.attr["_lower_using_switch_merge"].b = False

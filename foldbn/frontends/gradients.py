"""Drop what custom gradients leave in a graph that is only run forward."""

from __future__ import annotations

from dataclasses import replace

from foldbn.frontends.frozen import FrozenModel, empty_like, node_of, prune, tensor_name


def drop_gradients(model: FrozenModel) -> FrozenModel:
    """Return `model` with an Identity for each IdentityN of which only the first output is read.

    TensorFlow wraps a function with a gradient of its own into one, with the function's
    arguments as further inputs, which nothing needs.
    """
    read = {tensor_name(source) for node in model.graph_def.node for source in node.input}
    more = {node_of(tensor) for tensor in read if ":" in tensor}
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        if node.op == "IdentityN" and node.name not in more:
            copy.op = "Identity"
            del copy.input[1:]
            copy.attr["T"].type = node.attr["T"].list.type[0]
            for attribute in [name for name in copy.attr if name != "T"]:
                del copy.attr[attribute]
    keep = tuple(port.node for port in model.outputs)
    return replace(model, graph_def=prune(graph_def, keep))

"""Second biases of a convolution as plain additions.

tf2onnx puts every BiasAdd behind a convolution into it, and ONNX has no place for a second one.
"""

from __future__ import annotations

from dataclasses import replace

from foldbn.frontends.frozen import FrozenModel, empty_like, node_of


def with_plain_biases(model: FrozenModel) -> FrozenModel:
    """Return `model` with each bias that follows another one as ``x + b``, channel last."""
    nodes = {node.name: node for node in model.graph_def.node}
    result = empty_like(model.graph_def)
    for node in model.graph_def.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        first = "data_format" in node.attr and node.attr["data_format"].s == b"NCHW"
        if node.op == "BiasAdd" and not first and nodes[node_of(node.input[0])].op == "BiasAdd":
            copy.op = "AddV2"
            copy.attr.pop("data_format", None)
    return replace(model, graph_def=result)

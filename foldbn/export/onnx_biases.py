"""Biases that tf2onnx would take for the convolution's own, as plain additions.

It puts every BiasAdd behind a convolution into it: a second one as well, for which ONNX has no
place, and one along another axis, which is no bias at all. Keras writes such a one: the bias of a
layer whose channels come first goes along the last axis where that happens to be as long.
"""

from __future__ import annotations

from dataclasses import replace

from foldbn.frontends.frozen import FrozenModel, NodeDef, empty_like, node_of


def with_plain_biases(model: FrozenModel) -> FrozenModel:
    """Return `model` with each such bias along the last axis as ``x + b``, which is the same."""
    nodes = {node.name: node for node in model.graph_def.node}
    result = empty_like(model.graph_def)
    for node in model.graph_def.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        if node.op == "BiasAdd" and not _channels_first(node):
            source = nodes[node_of(node.input[0])]
            if source.op == "BiasAdd" or _channels_first(source):
                copy.op = "AddV2"
                copy.attr.pop("data_format", None)
    return replace(model, graph_def=result)


def _channels_first(node: NodeDef) -> bool:
    return "data_format" in node.attr and node.attr["data_format"].s.startswith(b"NC")

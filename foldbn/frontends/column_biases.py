"""Refuse a bias that TensorFlow adds to the columns in one mode and to the channels in another.

A convolution ``[N, C, H, W]`` before a ``BiasAdd`` of no ``data_format`` of its own is

    op by op:              y[n, c, h, w] + b[w]
    one op, in a graph:    y[n, c, h, w] + b[c]

for the op that TensorFlow's grappler fuses the two to takes the convolution's format for both.
Keras 3 writes such a bias where there are as many columns as channels.
"""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.frozen import GraphDef, NodeDef, node_of, readers_of
from foldbn.frontends.inlining import COMPILED

_FUSED = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
_FIRST = (b"NCHW", b"NCDHW")
# Grappler looks past a Squeeze of any axis but this one of these, which it takes for the channels.
_SQUEEZED = {"Conv2D": 3, "Conv3D": 4}


def refuse_biases_of_columns(graph_def: GraphDef) -> None:
    """Refuse a graph with a bias that grappler would add along another axis.

    What XLA compiles is no op that grappler could fuse. Keras compiles convolutions in groups and
    those of volumes.

    Args:
        graph_def: a frozen graph.

    Raises:
        Unsupported: there is such a bias.
    """
    nodes = {node.name: node for node in graph_def.node}
    readers = readers_of(graph_def)
    for node in graph_def.node:
        if node.op != "BiasAdd" or _format_of(node) == b"NCHW":
            continue
        conv = _fused_with(node, nodes, readers)
        if conv is not None and _may_be_of_channels(node, conv, nodes):
            raise Unsupported(
                f"{node.name!r} adds the bias of a channels_first convolution along the columns,"
                " which are as many as its channels: TensorFlow computes this in one way op by op,"
                " in another in predict",
                "Keras 3 writes such a bias: build the model with data_format='channels_last', and"
                " give it the same weights",
            )


def _fused_with(
    bias: NodeDef, nodes: dict[str, NodeDef], readers: dict[str, list[NodeDef]]
) -> NodeDef | None:
    """Return the convolution, its channels first, that grappler fuses a bias with."""
    found = _read_alone(bias, nodes, readers)
    if found is not None and found.op == "Squeeze":
        axes = found.attr["squeeze_dims"].list.i if "squeeze_dims" in found.attr else ()
        found = _read_alone(found, nodes, readers)
        if found is not None and (found.op not in _SQUEEZED or _SQUEEZED[found.op] in axes):
            return None
    if found is None or found.op not in _FUSED or COMPILED in found.attr:
        return None
    return found if _format_of(found) in _FIRST else None


def _read_alone(
    node: NodeDef, nodes: dict[str, NodeDef], readers: dict[str, list[NodeDef]]
) -> NodeDef | None:
    """Return the node whose result `node` reads first, None where others read it as well."""
    source = nodes[node_of(node.input[0])]
    while source.op == "Identity" and len(readers[source.name]) == 1:
        source = nodes[node_of(source.input[0])]
    return source if len(readers[source.name]) == 1 else None


def _may_be_of_channels(bias: NodeDef, conv: NodeDef, nodes: dict[str, NodeDef]) -> bool:
    """Whether a bias is, as far as is known, as long as a convolution has channels.

    The fused op fails for any other, so that there is one way left.
    """
    length, kernel = (_shape_of(nodes, each.input[1]) for each in (bias, conv))
    if length is None or kernel is None:
        return True
    channels = kernel[-1] * (kernel[-2] if conv.op == "DepthwiseConv2dNative" else 1)
    return bool(length == [channels])


def _shape_of(nodes: dict[str, NodeDef], reference: str) -> Any:
    """Return the shape of what is stored, None of what is computed."""
    node = nodes[node_of(reference)]
    while node.op == "Identity":
        node = nodes[node_of(node.input[0])]
    if node.op != "Const":
        return None
    return [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]


def _format_of(node: NodeDef) -> bytes:
    return bytes(node.attr["data_format"].s) if "data_format" in node.attr else b""

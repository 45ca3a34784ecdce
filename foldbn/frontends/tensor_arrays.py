"""Write the TensorArrays of TensorFlow 1 as the lists of TensorFlow 2.

A TensorArray is a resource, and a float called its flow orders what is written and read. A list is
a value. So the list takes the way of the flow, and the resource is not needed any more:

    TensorArrayWriteV3(handle, index, value, flow) -> flow
    TensorListSetItem(list, index, value)          -> list
"""

from __future__ import annotations

from typing import Any

import numpy as np

from foldbn.errors import Unsupported
from foldbn.frontends.conditionals import LOOPS, MERGES, SWITCHES
from foldbn.frontends.frozen import GraphDef, NodeDef, add_constant, empty_like, node_of

_FLOAT, _INT32, _VARIANT = 1, 3, 21  # DT_FLOAT, DT_INT32, DT_VARIANT
_ARRAY = "TensorArrayV3"
# Where the flow is among the inputs of each op, and which op takes its place.
_OPS = {
    "TensorArrayReadV3": (2, "TensorListGetItem"),
    "TensorArrayWriteV3": (3, "TensorListSetItem"),
    "TensorArrayScatterV3": (3, "TensorListFromTensor"),
    "TensorArrayGatherV3": (2, "TensorListStack"),
    "TensorArraySizeV3": (1, "TensorListLength"),
}
_FLOWING = (_ARRAY, "TensorArrayWriteV3", "TensorArrayScatterV3")


def with_lists(graph_def: GraphDef) -> GraphDef:
    """Return the graph with a list for each TensorArray.

    Raises:
        Unsupported: something is done to one that lists have no like of.
    """
    if not any(node.op == _ARRAY for node in graph_def.node):
        return graph_def
    nodes = {node.name: node for node in graph_def.node}
    grows = any(node.op == _ARRAY and node.attr["dynamic_size"].b for node in graph_def.node)
    flowing = _flows(graph_def)
    result = empty_like(graph_def)
    for node in graph_def.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        for place, source in enumerate(node.input):
            if nodes[node_of(source)].op == _ARRAY:
                copy.input[place] = node_of(source)  # the list is the first output, not the second
        if node.op == _ARRAY:
            _reserve(result, copy)
        elif node.op in _OPS:
            _convert(result, copy, nodes, grows=grows)
        elif node.op.startswith("TensorArray"):
            raise Unsupported(
                f"the loop of TensorFlow 1 around {node.name!r} uses {node.op}, which has no like"
                " in TensorFlow 2",
                "export the model again with tf.compat.v1.enable_control_flow_v2()",
            )
        elif node.name in flowing:
            copy.attr["T"].type = _VARIANT
    return result


def _flows(graph_def: GraphDef) -> set[str]:
    """Return the nodes that hand on a flow, and no handle."""
    flowing = {node.name for node in graph_def.node if node.op in _FLOWING}
    passing = [
        node
        for node in graph_def.node
        if node.op in (*SWITCHES, *MERGES, *LOOPS, "Identity")
        and "T" in node.attr
        and node.attr["T"].type == _FLOAT
    ]
    while found := {n.name for n in passing if node_of(n.input[0]) in flowing} - flowing:
        flowing |= found
    return flowing


def _reserve(graph_def: GraphDef, node: NodeDef) -> None:
    element, kind = node.attr["element_shape"], node.attr["dtype"]
    shape = _shape(graph_def, node, element.shape)
    size = node.input[0]
    kinds = {"element_dtype": int(kind.type)}
    _rewrite(node, "TensorListReserve", [shape, size], kinds)
    node.attr["shape_type"].type = _INT32


def _convert(graph_def: GraphDef, node: NodeDef, nodes: dict[str, NodeDef], *, grows: bool) -> None:
    place, kind = _OPS[node.op]
    flow, rest = node.input[place], list(node.input[1:place])
    element = node.attr["T" if "T" in node.attr else "dtype"]
    kinds = {"element_dtype": int(element.type)}
    ordered = node.op in ("TensorArrayScatterV3", "TensorArrayGatherV3")
    array = nodes[node_of(node.input[0])]
    if ordered and not _all_in_order(nodes[node_of(rest[0])], array, nodes):
        raise Unsupported(
            f"{node.name!r} takes some elements of a TensorArray, or takes them out of order",
            "export the model again with tf.compat.v1.enable_control_flow_v2()",
        )
    shape = _shape(graph_def, node, node.attr["element_shape"].shape)
    if kind == "TensorListGetItem":
        _rewrite(node, kind, [flow, rest[0], shape], kinds)
    elif kind == "TensorListSetItem":
        _rewrite(node, kind, [flow, *rest], kinds)
        node.attr["resize_if_index_out_of_bounds"].b = grows
    elif kind == "TensorListFromTensor":
        _rewrite(node, kind, [rest[1], shape], kinds)
        node.attr["shape_type"].type = _INT32
    elif kind == "TensorListStack":
        _rewrite(node, kind, [flow, shape], kinds)
        node.attr["num_elements"].i = -1
    else:
        _rewrite(node, kind, [flow], {})


def _rewrite(node: NodeDef, kind: str, inputs: list[str], kinds: dict[str, int]) -> None:
    node.op = kind
    node.attr.clear()
    for name, value in kinds.items():
        node.attr[name].type = value
    del node.input[:]
    node.input.extend(inputs)


def _all_in_order(indices: NodeDef, array: NodeDef, nodes: dict[str, NodeDef]) -> bool:
    """Whether indices are 0, 1, 2 ... to the end, as those of stack() and unstack() are.

    Where they end is not always known here; `check_loops` looks at what comes out.
    """
    from tensorflow.python.framework import tensor_util

    def number(source: str) -> Any:
        origin = nodes[node_of(source)]
        held = origin.op == "Const"
        return tensor_util.MakeNdarray(origin.attr["value"].tensor) if held else None

    size = number(array.input[0])
    if indices.op == "Const":
        found = tensor_util.MakeNdarray(indices.attr["value"].tensor)
        return bool((found == np.arange(found.size)).all()) and size in (None, found.size)
    if indices.op != "Range" or number(indices.input[0]) != 0 or number(indices.input[2]) != 1:
        return False
    limit = number(indices.input[1])
    return limit is None or size is None or bool(limit == size)


def _shape(graph_def: GraphDef, node: NodeDef, shape: Any) -> str:
    """Add the shape of an element as a constant, -1 where there is none."""
    name = f"{node.name}/element_shape"
    known = not shape.unknown_rank and shape.dim
    lengths = [dim.size for dim in shape.dim] if known else -1
    add_constant(graph_def, name, np.asarray(lengths, np.int32))
    return name

"""Give the nodes of a graph other element types: their attributes, and the numbers they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.frozen import FrozenModel, GraphDef, NodeDef, numpy_type

Kinds = Mapping[int, int]  # from a DataType to the one that takes its place

DT_FLOAT, DT_DOUBLE, DT_BFLOAT16, DT_HALF = 1, 2, 14, 19
NAMES = {
    DT_FLOAT: "float32",
    DT_DOUBLE: "float64",
    DT_BFLOAT16: "bfloat16",
    DT_HALF: "float16",
}
TO_SINGLE = dict.fromkeys((DT_DOUBLE, DT_BFLOAT16, DT_HALF), DT_FLOAT)


def nodes_of(model: FrozenModel) -> list[NodeDef]:
    """Return the nodes of a graph, and those of the functions it calls."""
    functions = model.graph_def.library.function
    return [*model.graph_def.node, *(node for each in functions for node in each.node_def)]


def cast_types(node: NodeDef) -> tuple[int, int]:
    """Return the type that a Cast reads and the one that it gives."""
    return node.attr["SrcT"].type, node.attr["DstT"].type


def casts_floats(node: NodeDef) -> bool:
    """Whether a node casts from one floating-point type to another."""
    return node.op == "Cast" and all(kind in NAMES for kind in cast_types(node))


def retype_node(node: NodeDef, kinds: Kinds) -> None:
    """Put other element types in the place of a node's own, those of its constants too."""
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "type":
            value.type = kinds.get(value.type, value.type)
        elif kind == "list" and value.list.type:
            value.list.type[:] = [kinds.get(each, each) for each in value.list.type]
        elif kind == "tensor" and value.tensor.dtype in kinds:
            value.tensor.CopyFrom(_retyped(value.tensor, kinds[value.tensor.dtype]))


def retype_library(graph_def: GraphDef, kinds: Kinds) -> None:
    """Put other element types in the place of those of the library's functions."""
    for function in graph_def.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            argument.type = kinds.get(argument.type, argument.type)
        for node in function.node_def:
            retype_node(node, kinds)


def _retyped(tensor: Any, kind: int) -> Any:
    """Return a tensor of the same numbers in another type; one repeated number stays one."""
    from tensorflow.python.framework import tensor_util

    shape = [dim.size for dim in tensor.tensor_shape.dim]
    one = type(tensor)()
    one.CopyFrom(tensor)
    repeated = sum(map(len, (tensor.float_val, tensor.double_val, tensor.half_val))) == 1
    if repeated:
        one.tensor_shape.ClearField("dim")
    numbers = in_range(tensor_util.MakeNdarray(one), kind).astype(numpy_type(kind))
    return tensor_util.make_tensor_proto(numbers, shape=shape)


def in_range(numbers: NDArray[Any], kind: int) -> NDArray[Any]:
    """Return float64 numbers with those beyond the range of float32 at its ends.

    Numbers as great as that are masks: ``x - 1.8e308`` leaves of x what ``x - 3.4e38`` leaves.
    """
    if kind != DT_FLOAT or numbers.dtype != np.float64:
        return numbers
    greatest = float(np.finfo(np.float32).max)
    beyond = np.isfinite(numbers) & (np.abs(numbers) > greatest)
    return np.where(beyond, np.copysign(greatest, numbers), numbers) if beyond.any() else numbers

"""Freeze a concrete function: variables become constants, calls are inlined."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from foldbn.errors import Unsupported
from foldbn.frontends.frozen import FrozenModel, GraphDef, Layers, Port, lighten, prune
from foldbn.frontends.inlining import inline
from foldbn.frontends.variables import with_constants

_OUTPUT = "foldbn_output_"


def freeze(
    function: Any, input_names: list[str], output_names: list[str], layers: Layers
) -> FrozenModel:
    """Return a concrete function as a frozen graph whose ports have the given names.

    Args:
        function: a TensorFlow concrete function.
        input_names: the model's names of the function's inputs, in order.
        output_names: the model's names of its flattened outputs, in order.
        layers: to be passed on.

    Raises:
        Unsupported: an input or output holds no numbers.
    """
    import tensorflow as tf

    count = len(function.inputs) - len(function.captured_inputs)
    ports = (*function.inputs[:count], *function.outputs)
    for tensor in ports:
        if tensor.dtype.name in ("variant", "resource", "string"):
            raise Unsupported(f"{tensor.name!r} is a {tensor.dtype.name} tensor, not numbers")
    if not count:
        raise Unsupported("the model has no inputs")
    graph_def, values = _frozen(function, [tensor.name for tensor in ports])
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    names = unique_names([*input_names, *output_names])
    inputs = [
        _port(name, tensor.op.name, graph.get_tensor_by_name(tensor.name))
        for name, tensor in zip(names, ports[:count], strict=False)
    ]
    if len({port.shape[:1] and port.shape[0] for port in inputs}) > 1:
        shapes = ", ".join(f"{port.name} {port.shape}" for port in inputs)
        raise Unsupported(f"the inputs disagree on the batch axis: {shapes}")
    outputs = []
    for index, tensor in enumerate(function.outputs):
        node = graph_def.node.add(name=f"{_OUTPUT}{index}", op="Identity", input=[tensor.name])
        node.attr["T"].type = tensor.dtype.as_datatype_enum
        inferred = graph.get_tensor_by_name(tensor.name)
        outputs.append(_port(names[len(inputs) + index], node.name, inferred))
    pruned = prune(graph_def, tuple(port.node for port in outputs))
    there = {node.name for node in pruned.node}
    values = {name: value for name, value in values.items() if name in there}
    return FrozenModel(pruned, tuple(inputs), tuple(outputs), layers, values=values)


def _frozen(function: Any, ports: list[str]) -> tuple[GraphDef, dict[str, NDArray[Any]]]:
    """Return the graph of `function` with its variables as constants, and the great of these.

    Where variables are more than read, in a loop say, TensorFlow's own way is taken, which
    copies each of them several times.
    """
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    inlined = inline(function.graph.as_graph_def(), function.graph, ports)
    light = with_constants(inlined, function)
    if light is not None:
        return light
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    return lighten(inline(frozen.graph.as_graph_def(), frozen.graph, ports))


def unique_names(names: list[str]) -> list[str]:
    """Return `names` with ``_1``, ``_2`` ... put to those that occur again."""
    seen: set[str] = set()
    result = []
    for name in names:
        free, number = name, 0
        while free in seen:
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        result.append(free)
    return result


def _port(name: str, node: str, tensor: Any) -> Port:
    if not tensor.shape.rank:
        raise Unsupported(
            f"{name!r} has no batch axis: its shape is {tensor.shape}",
            "foldbn takes models whose inputs and outputs have the batch as their first axis",
        )
    return Port(name, node, tuple(tensor.shape.as_list()), tensor.dtype.name)

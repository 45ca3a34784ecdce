"""Freeze a concrete function: variables become constants, calls are inlined."""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.frozen import FrozenModel, Layers, Port, prune

_OUTPUT = "foldbn_output_"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_COMPILED = ("_XlaMustCompile", "_noinline")


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
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    for tensor in (*frozen.inputs, *frozen.outputs):
        if tensor.dtype.name in ("variant", "resource", "string"):
            raise Unsupported(f"{tensor.name!r} is a {tensor.dtype.name} tensor, not numbers")
    graph = _inlined(frozen)
    graph_def = graph.as_graph_def()
    if not frozen.inputs:
        raise Unsupported("the model has no inputs")
    if len({port.shape[:1] and port.shape[0] for port in frozen.inputs}) > 1:
        shapes = ", ".join(f"{port.name} {port.shape}" for port in frozen.inputs)
        raise Unsupported(f"the inputs disagree on the batch axis: {shapes}")
    names = unique_names([*input_names, *output_names])
    inputs = [
        _port(name, tensor.op.name, graph.get_tensor_by_name(tensor.name))
        for name, tensor in zip(names, frozen.inputs, strict=False)
    ]
    outputs = []
    for index, tensor in enumerate(frozen.outputs):
        node = graph_def.node.add(name=f"{_OUTPUT}{index}", op="Identity", input=[tensor.name])
        node.attr["T"].type = tensor.dtype.as_datatype_enum
        inferred = graph.get_tensor_by_name(tensor.name)
        outputs.append(_port(names[len(inputs) + index], node.name, inferred))
    pruned = prune(graph_def, tuple(port.node for port in outputs))
    return FrozenModel(pruned, tuple(inputs), tuple(outputs), layers)


def _inlined(frozen: Any) -> Any:
    """Return the graph of a frozen function with the calls inlined that XLA was to compile.

    Freezing leaves those alone; Keras asks for it in grouped convolutions.
    """
    graph_def = frozen.graph.as_graph_def()
    if not any(node.op in _CALLS for node in graph_def.node):
        return frozen.graph
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer
    from tensorflow.python.training.saver import export_meta_graph

    functions = graph_def.library.function
    for part in (*functions, *graph_def.node, *(n for f in functions for n in f.node_def)):
        for attribute in _COMPILED:
            part.attr.pop(attribute, None)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    meta_graph = export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    fetched = meta_graph.collection_def["train_op"].node_list.value
    fetched.extend(tensor.name for tensor in (*frozen.inputs, *frozen.outputs))
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1
    rewriting.optimizers.append("function")
    inlined = tf.Graph()
    with inlined.as_default():
        tf.import_graph_def(tf_optimizer.OptimizeGraph(config, meta_graph), name="")
    return inlined


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


def captured_variables(function: Any) -> dict[str, Any]:
    """Return the resource that each captured input of a concrete function stands for.

    The constant that freezing puts in its place has the captured input's name.
    """
    captured = function.captured_inputs
    if not captured:
        return {}
    placeholders = function.inputs[-len(captured) :]
    return {p.op.name: handle for p, handle in zip(placeholders, captured, strict=True)}

"""Freeze a graph: calls are inlined, settled conditionals go, variables become constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from foldbn.errors import Unsupported
from foldbn.frontends.attribution import owner_of
from foldbn.frontends.budget import check_graph
from foldbn.frontends.chance import check_certainty
from foldbn.frontends.column_biases import refuse_biases_of_columns
from foldbn.frontends.conditionals import settle_conditionals
from foldbn.frontends.dropouts import settle_dropouts
from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    Layers,
    Port,
    lighten,
    node_of,
    prune,
)
from foldbn.frontends.inlining import forget_compiled, inline
from foldbn.frontends.loop_check import check_loops
from foldbn.frontends.old_loops import has_old_loops, with_whiles
from foldbn.frontends.pivots import tie_constants
from foldbn.frontends.variables import by_tensorflow, captured_values, with_constants

Shape = tuple[int | None, ...]

_OUTPUT = "foldbn_output_"
_NO_NUMBERS = {7: "string", 20: "resource", 21: "variant"}  # by DataType


class Named(NamedTuple):
    """A tensor of a graph: the model's name of it, its DataType and its declared shape."""

    name: str
    tensor: str
    kind: int
    shape: Shape | None = None


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
        Unsupported: an input or output holds no numbers, or an output depends on chance.
    """
    count = len(function.inputs) - len(function.captured_inputs)
    inputs = _named(input_names, function.inputs[:count])
    outputs = _named(output_names, function.outputs)
    _check_ports(inputs, outputs)
    graph_def = function.graph.as_graph_def()
    values = captured_values(function)
    if values is not None:
        return freeze_graph(graph_def, inputs, outputs, values, layers)
    keep = _output_nodes(outputs)
    _check_tables(prune(flatten(function.graph.as_graph_def(), outputs), keep), layers)
    # TensorFlow's own way knows what can become a constant.
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    constant = convert_variables_to_constants_v2(function, lower_control_flow=False)
    graph_def, values = lighten(constant.graph.as_graph_def())
    return _finish(flatten(graph_def, outputs), inputs, outputs, values, layers)


def _named(names: Sequence[str], tensors: Sequence[Any]) -> list[Named]:
    return [
        Named(name, tensor.name, tensor.dtype.as_datatype_enum)
        for name, tensor in zip(names, tensors, strict=False)
    ]


def freeze_graph(
    graph_def: GraphDef,
    inputs: Sequence[Named],
    outputs: Sequence[Named],
    values: Mapping[str, NDArray[Any]],
    layers: Layers,
) -> FrozenModel:
    """Return a graph with constants in the place of its variables.

    Args:
        graph_def: the graph, which may be changed; its inputs are placeholders.
        inputs: placeholders, in the model's order.
        outputs: tensors, in the model's order.
        values: of each node that is a variable.
        layers: to be passed on.

    Raises:
        Unsupported: an input or output holds no numbers, or an output depends on chance.
        Unsafe: a tensor of it is greater than any memory.
    """
    _check_ports(inputs, outputs)
    flat = flatten(graph_def, outputs)
    keep = _output_nodes(outputs)
    check_certainty(flat, keep, layers)
    part = prune(flat, keep)
    _check_dense(part)
    known = _of_nodes(values, part)
    constant, great = with_constants(part, known) or by_tensorflow(part, keep, known)
    model = _finish(flatten(constant, ()), inputs, outputs, great, layers)
    if has_old_loops(part):
        # A loop of TensorFlow 1 runs only with the control inputs that hold it together.
        running = prune(flat, keep, controls=True)
        if original := with_constants(running, _of_nodes(values, running)):
            check_loops(model, *original)
    return model


def _of_nodes(values: Mapping[str, NDArray[Any]], graph_def: GraphDef) -> dict[str, NDArray[Any]]:
    there = {node.name for node in graph_def.node}
    return {name: value for name, value in values.items() if name in there}


def flatten(graph_def: GraphDef, outputs: Sequence[Named]) -> GraphDef:
    """Return a graph without calls and without conditionals of known predicate.

    Each output is there as an Identity of its own, and constants are tied to the branch or loop
    they stand in, so that nothing is lost with the control inputs.
    """
    for index, output in enumerate(outputs):
        node = graph_def.node.add(name=f"{_OUTPUT}{index}", op="Identity", input=[output.tensor])
        node.attr["T"].type = output.kind
    ports = [node.name for node in graph_def.node if node.name.startswith(_OUTPUT)]
    changed = True
    while changed:
        graph_def = inline(graph_def, ports)
        graph_def, changed = settle_conditionals(graph_def)
    return tie_constants(settle_dropouts(graph_def))


def _output_nodes(outputs: Sequence[Named]) -> tuple[str, ...]:
    return tuple(f"{_OUTPUT}{index}" for index in range(len(outputs)))


def _check_ports(inputs: Sequence[Named], outputs: Sequence[Named]) -> None:
    for what, ports in (("input", inputs), ("output", outputs)):
        for port in ports:
            if port.kind in _NO_NUMBERS:
                raise Unsupported(
                    f"the {what} {port.name!r} is a {_NO_NUMBERS[port.kind]} tensor, not numbers",
                    "foldbn takes models of dense numbers: export the part behind the"
                    " preprocessing",
                )
    if not inputs:
        raise Unsupported("the model has no inputs")


def _check_dense(graph_def: GraphDef) -> None:
    """Refuse a graph that takes tensors apart: its inputs are parts that must fit each other."""
    for node in graph_def.node:
        for kind in ("Ragged", "Sparse"):
            if node.op.startswith(kind) and node.op != "SparseMatMul":
                raise Unsupported(
                    f"the model computes with {kind.lower()} tensors: {node.op} ({node.name})",
                    "foldbn takes models of dense numbers: export the part behind it, or choose"
                    " another signature with --signature",
                )


def _check_tables(graph_def: GraphDef, layers: Layers) -> None:
    """Refuse a graph that looks something up in a hash table, which is no array of numbers."""
    for node in graph_def.node:
        if node.op.startswith("LookupTable"):
            raise Unsupported(
                f"layer {owner_of(node, layers).layer!r} looks up a table ({node.op}), for which"
                " the exported formats have no op",
                "look the indices up before the model: build it without the layer, from its output"
                " on, with that layer's weights",
            )


def _finish(
    graph_def: GraphDef,
    inputs: Sequence[Named],
    outputs: Sequence[Named],
    values: dict[str, NDArray[Any]],
    layers: Layers,
) -> FrozenModel:
    """Return a graph without variables as a model, its ports with their inferred shapes."""
    import tensorflow as tf

    keep = _output_nodes(outputs)
    graph_def = prune(with_whiles(graph_def, keep), keep)
    refuse_biases_of_columns(graph_def)
    forget_compiled(graph_def)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    check_graph(graph, _batch(graph, inputs))
    names = unique_names([port.name for port in (*inputs, *outputs)])
    nodes = [node_of(port.tensor) for port in inputs] + list(keep)
    declared = [port.shape for port in (*inputs, *outputs)]
    ports = [
        _port(name, node, graph.get_tensor_by_name(f"{node}:0"), shape)
        for name, node, shape in zip(names, nodes, declared, strict=True)
    ]
    fed = tuple(ports[: len(inputs)])
    if len({port.shape[0] for port in fed}) > 1:
        shapes = ", ".join(f"{port.name} {port.shape}" for port in fed)
        raise Unsupported(f"the inputs disagree on the batch axis: {shapes}")
    known = _of_nodes(values, graph_def)
    return FrozenModel(graph_def, fed, tuple(ports[len(inputs) :]), layers, values=known)


def _batch(graph: Any, inputs: Sequence[Named]) -> int | None:
    """Return how many samples the inputs hold, where the graph fixes it."""
    shape = graph.get_tensor_by_name(f"{node_of(inputs[0].tensor)}:0").shape
    return shape[0] if shape.rank else None


def unique_names(names: list[str]) -> list[str]:
    """Return `names` with ``_1``, ``_2`` ... put to those that occur again.

    No name that occurs goes to another in that way.
    """
    seen: set[str] = set()
    given = set(names)
    result = []
    for name in names:
        free, number = name, 0
        while free in seen or (number and free in given):
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        result.append(free)
    return result


def _port(name: str, node: str, tensor: Any, declared: Shape | None) -> Port:
    # What comes out of a loop of TensorFlow 1 has no shape that could be inferred.
    shape = declared if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    if shape is None:
        raise Unsupported(
            f"{name!r} has no known rank",
            "export the model with the shapes of its inputs, of which only the batch may be open",
        )
    if not shape:
        raise Unsupported(
            f"{name!r} has no batch axis: its shape is ()",
            "foldbn takes models whose inputs and outputs have the batch as their first axis",
        )
    if 0 in shape:
        lengths = ["any" if length is None else str(length) for length in shape[1:]]
        first = "batch" if shape[0] is None else str(shape[0])
        raise Unsupported(
            f"{name!r} holds no numbers: its shape is ({', '.join([first, *lengths])})",
            "there is nothing to compute or to compare: export the model without it",
        )
    return Port(name, node, shape, tensor.dtype.name)

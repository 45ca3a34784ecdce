"""A model as one frozen TensorFlow graph: what every loader makes and every exporter takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_SIGNATURE = "serving_default"

GraphDef = Any
NodeDef = Any

_GREAT = 1024  # numbers; constants up to this many stay in the graph
_FLOATS = (1, 2, 14, 19)  # DT_FLOAT, DT_DOUBLE, DT_BFLOAT16 and DT_HALF
FLOATS = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True)
class Port:
    """An input or output of the model.

    Attributes:
        name: the model's own name for it.
        node: the graph's node: a Placeholder, or an Identity of the output.
        shape: with the batch axis first; None where a length is not known.
        dtype: NumPy's name of the element type.
    """

    name: str
    node: str
    shape: tuple[int | None, ...]
    dtype: str

    def zeros(self, batch: int) -> NDArray[Any]:
        """Return zeros of the port's shape; the batch and unknown lengths get `batch`."""
        lengths = [batch if length is None else length for length in self.shape]
        return np.zeros(lengths, self.dtype)


@dataclass(frozen=True)
class Layers:
    """What is known of the model's layers.

    Attributes:
        classes: class of each layer, by name.
        variables: layer of each variable, by the name of its constant in the graph.
        suffixed: whether the writer's name scopes carry one more ``_1`` than the layer's
            name, as those of Keras 3 do.
        originals: what layers that had to be renamed are called in the model's file.
    """

    classes: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    suffixed: bool = False
    originals: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FrozenModel:
    """A frozen graph and what its names mean.

    Attributes:
        graph_def: constants, placeholders and stateless ops; no control inputs.
        inputs: in the model's order.
        outputs: in the model's order.
        layers: to name nodes as the user knows them.
        signature: the signature's name, of a SavedModel that has another than the usual.
        landmarks: of a folded graph, tensors of the original that must be the same in this
            one, with their names here.
        values: of constants, by the name of their node: of all great ones, whose nodes hold a
            stub only, and in float64 of those whose value in `graph_def` is rounded.
    """

    graph_def: GraphDef
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: Layers = field(default_factory=Layers)
    signature: str = DEFAULT_SIGNATURE
    landmarks: dict[str, str] = field(default_factory=dict)
    values: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def batch_size(self) -> int | None:
        """The leading axis of the inputs where the model itself fixes it, otherwise None."""
        return self.inputs[0].shape[0]

    def stubs(self) -> list[str]:
        """Return the constants whose node holds no more than a type and a shape."""
        return [
            node.name
            for node in self.graph_def.node
            if node.op == "Const"
            and node.attr["dtype"].type in _FLOATS
            and is_great(self.values.get(node.name))
        ]

    def rounded(self) -> FrozenModel:
        """Return the model without digits that its own types do not hold: half the room."""
        stubs = set(self.stubs())
        kinds = {n.name: n.attr["dtype"].type for n in self.graph_def.node if n.name in stubs}
        values = {
            name: self.values[name].astype(numpy_type(kind), copy=False)
            for name, kind in kinds.items()
        }
        return replace(self, values=values)

    def whole(self) -> GraphDef:
        """Return the graph with every constant in its node, in the node's own type."""
        graph_def, stubs = empty_like(self.graph_def), set(self.stubs())
        for node in self.graph_def.node:
            if node.name in stubs:
                kind = numpy_type(node.attr["dtype"].type)
                add_constant(graph_def, node.name, self.values[node.name].astype(kind))
            else:
                graph_def.node.append(node)
        return graph_def

    def with_batch_size(self, batch_size: int | None) -> FrozenModel:
        """Return the model with inputs of a fixed leading axis, or a dynamic one for None."""
        graph_def = type(self.graph_def)()
        graph_def.CopyFrom(self.graph_def)
        placeholders = {port.node for port in self.inputs}
        for node in graph_def.node:
            if node.name in placeholders:
                node.attr["shape"].shape.dim[0].size = -1 if batch_size is None else batch_size
        inputs = tuple(replace(p, shape=(batch_size, *p.shape[1:])) for p in self.inputs)
        return replace(self, graph_def=graph_def, inputs=inputs)


def tensor_name(reference: str) -> str:
    """Return a NodeDef's input as a tensor name: ``a`` for ``a:0``, ``a:1`` as it is."""
    return reference.removesuffix(":0")


def node_of(reference: str) -> str:
    """Return the node that writes a tensor, or that a control input names."""
    return reference.removeprefix("^").partition(":")[0]


def is_control(reference: str) -> bool:
    """Whether a NodeDef's input only says that another node is to run before."""
    return reference.startswith("^")


def readers_of(graph_def: GraphDef) -> dict[str, list[NodeDef]]:
    """Return the nodes that read each node, once for each input that does."""
    readers: dict[str, list[NodeDef]] = {}
    for node in graph_def.node:
        for source in node.input:
            readers.setdefault(node_of(source), []).append(node)
    return readers


def prune(graph_def: GraphDef, keep: tuple[str, ...], *, controls: bool = False) -> GraphDef:
    """Return the nodes that the nodes `keep` need, in topological order; placeholders stay.

    Control inputs are dropped unless `controls` is set: a frozen graph has no state for them to
    order. A loop of TensorFlow 1 has no such order: its edge back to the beginning is passed over.
    """
    nodes = {node.name: node for node in graph_def.node}
    roots = [*(n.name for n in graph_def.node if n.op == "Placeholder"), *keep]
    ordered: dict[str, None] = {}
    begun: set[str] = set()
    stack = [(name, False) for name in reversed(roots)]
    while stack:
        name, done = stack.pop()
        if name in ordered:
            continue
        if done:
            ordered[name] = None
            continue
        if name in begun:
            continue
        begun.add(name)
        stack.append((name, True))
        data = [node_of(i) for i in nodes[name].input if controls or not is_control(i)]
        stack.extend((source, False) for source in reversed(data) if source not in ordered)
    result = empty_like(graph_def)
    for name in ordered:
        copy = result.node.add()
        copy.CopyFrom(nodes[name])
        copy.attr.pop("_class", None)  # a wish to stand beside a node that may be gone
        data = [i for i in copy.input if controls or not is_control(i)]
        del copy.input[:]
        copy.input.extend(data)
    return result


def empty_like(graph_def: GraphDef) -> GraphDef:
    """Return a graph without nodes, of the versions and library functions of `graph_def`."""
    result = type(graph_def)()
    result.versions.CopyFrom(graph_def.versions)
    result.library.CopyFrom(graph_def.library)
    return result


def is_great(value: NDArray[Any] | None) -> bool:
    """Whether a constant of this value is kept beside the graph, not in it."""
    # NumPy has bfloat16 from another package, and counts it among the structures.
    return value is not None and value.dtype.name in FLOATS and value.size > _GREAT


def store(
    graph_def: GraphDef,
    values: dict[str, NDArray[Any]],
    name: str,
    value: NDArray[Any],
    dtype: Any = None,
) -> None:
    """Add a constant of element type `dtype`, and what its node does not hold to `values`.

    Args:
        graph_def: gets the node.
        values: gets a great value, and one in more digits than `dtype` has.
        name: of the node.
        value: in as many digits as are known.
        dtype: of the node; None is that of `value`.
    """
    from tensorflow.python.framework import dtypes, tensor_util

    own = np.dtype(dtype or value.dtype)
    kind = dtypes.as_dtype(own).as_datatype_enum
    if is_great(value) and kind in _FLOATS:
        node = graph_def.node.add(name=name, op="Const")
        node.attr["dtype"].type = kind
        node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(0, own, value.shape))
        values[name] = value
        return
    add_constant(graph_def, name, value.astype(own))
    if value.dtype != own:
        values[name] = value


def lighten(graph_def: GraphDef) -> tuple[GraphDef, dict[str, NDArray[Any]]]:
    """Return a graph whose great constants are stubs, and their values."""
    from tensorflow.python.framework import tensor_util

    light = empty_like(graph_def)
    values: dict[str, NDArray[Any]] = {}
    for node in graph_def.node:
        if node.op == "Const" and len(node.attr["value"].tensor.tensor_content) > _GREAT:
            store(light, values, node.name, tensor_util.MakeNdarray(node.attr["value"].tensor))
        else:
            light.node.append(node)
    return light, values


def numpy_type(kind: int) -> Any:
    """Return the NumPy type of a TensorFlow DataType."""
    from tensorflow.python.framework import dtypes

    return dtypes.as_dtype(kind).as_numpy_dtype


def add_constant(graph_def: GraphDef, name: str, value: NDArray[Any]) -> NodeDef:
    """Add a Const node that holds `value` under its own element type."""
    from tensorflow.python.framework import dtypes, tensor_util

    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = dtypes.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))
    return node

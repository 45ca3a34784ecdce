"""Rewrite a float32 graph to compute in float64, and run graphs on TensorFlow's CPU kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbn.errors import Unsupported, said
from foldbn.frontends.channels_last import channels_last
from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    Port,
    add_constant,
    empty_like,
    numpy_type,
)
from foldbn.frontends.retyping import DT_DOUBLE, DT_FLOAT, retype_library, retype_node
from foldbn.frontends.written_out import (
    groups_in,
    in_single_groups,
    write_out_pool,
    write_out_resize,
    write_out_response,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_NORM = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_GIVES_FLOAT32 = ("ResizeBicubic",)
_TAKES_FLOAT32 = (
    *("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars"),
    "FakeQuantWithMinMaxVarsPerChannel",
)
_WRITTEN_OUT = {
    "ResizeBilinear": write_out_resize,
    "LRN": write_out_response,
    **dict.fromkeys(("AvgPool3D", "MaxPool3D"), write_out_pool),
}
_DOUBLED = {DT_FLOAT: DT_DOUBLE}
_ALIGNMENT = 64  # bytes


def widen(model: FrozenModel) -> FrozenModel:
    """Return `model` computing in float64 wherever it computed in float32.

    Type attributes and constants become double, those of library functions too. Ops without a
    double kernel are written out. Bicubic resizing gives float32 whatever it is fed, and is cast;
    so is what simulated quantization reads, which knows no other type.
    """
    graph_def, stubs = empty_like(model.graph_def), set(model.stubs())
    for node in channels_last(model.graph_def).node:
        if node.op in _BATCH_NORM and node.attr["T"].type == DT_FLOAT:
            _write_out_batch_norm(graph_def, node)
            continue
        if node.op in _WRITTEN_OUT and node.attr["T"].type == DT_FLOAT:
            _WRITTEN_OUT[node.op](graph_def, node)
            continue
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        if node.op == "Bitcast" and node.attr["T"].type == DT_FLOAT:
            # The bits of a float32 (Keras's argmax tells zeros by them) are no float64's.
            copy.input[0] = _add_cast(graph_def, f"{node.name}/single", node.input[0], narrow=True)
            continue
        _widen_node(copy, {} if node.name in stubs else model.values)
        if node.op in _TAKES_FLOAT32:
            copy.input[:] = [
                _add_cast(graph_def, f"{node.name}/single_{port}", source, narrow=True)
                for port, source in enumerate(node.input)
            ]
        if node.op in (*_TAKES_FLOAT32, *_GIVES_FLOAT32):
            _cast_output(graph_def, copy)
    retype_library(graph_def, _DOUBLED)
    inputs, outputs = (tuple(map(_widen_port, ports)) for ports in (model.inputs, model.outputs))
    great = {name: model.values[name] for name in stubs}
    return replace(model, graph_def=graph_def, inputs=inputs, outputs=outputs, values=great)


def _widen_port(port: Port) -> Port:
    dtype = "float64" if port.dtype == "float32" else port.dtype
    return Port(port.name, port.node, port.shape, dtype)


def _widen_node(node: NodeDef, values: dict[str, NDArray[Any]]) -> None:
    from tensorflow.python.framework import tensor_util

    if node.op == "Const" and node.name in values:
        tensor = tensor_util.make_tensor_proto(values[node.name], dtype=np.float64)
        node.attr["value"].tensor.CopyFrom(tensor)
        node.attr["dtype"].type = DT_DOUBLE
    else:
        retype_node(node, _DOUBLED)


def _cast_output(graph_def: GraphDef, node: NodeDef) -> None:
    """Let `node` keep its name for a double copy of what it computes."""
    name = node.name
    node.name = f"{name}/float"
    _add_cast(graph_def, name, node.name, narrow=False)


def _add_cast(graph_def: GraphDef, name: str, source: str, *, narrow: bool) -> str:
    """Add a cast from double to float32, or the other way, and return its name."""
    kinds = (DT_DOUBLE, DT_FLOAT)
    cast = graph_def.node.add(name=name, op="Cast", input=[source])
    cast.attr["SrcT"].type, cast.attr["DstT"].type = kinds if narrow else reversed(kinds)
    return name


def _write_out_batch_norm(graph_def: GraphDef, node: NodeDef) -> None:
    """Write ``(x - mean) * rsqrt(variance + epsilon) * gamma + beta`` as single ops, channel last.

    Without is_training the statistics are inputs 3 and 4; with it they are those of x.
    """
    rank = 5 if b"D" in node.attr["data_format"].s else 4
    build = _Builder(graph_def, node.name)
    x, gamma, beta, mean, variance = node.input
    if node.attr["is_training"].b:
        axes = build.constant("axes", [*range(rank - 1)], np.int32)
        mean = build.op("Mean", "mean", x, axes, keep_dims=True)
        squares = build.op("SquaredDifference", "squares", x, mean)
        variance = build.op("Mean", "variance", squares, axes, keep_dims=True)
    epsilon = build.constant("epsilon", node.attr["epsilon"].f, np.float64)
    root = build.op("Rsqrt", "rsqrt", build.op("AddV2", "add", variance, epsilon))
    scale = build.op("Mul", "scale", root, gamma)
    centred = build.op("Sub", "centred", x, mean)
    build.op("AddV2", "", build.op("Mul", "mul", centred, scale), beta)


class _Builder:
    """Adds double nodes named after one original node."""

    def __init__(self, graph_def: GraphDef, name: str) -> None:
        self._graph_def, self._name = graph_def, name

    def op(self, kind: str, suffix: str, *inputs: str, **flags: bool) -> str:
        from tensorflow.core.framework import types_pb2

        name = f"{self._name}/written_out/{suffix}" if suffix else self._name
        node = self._graph_def.node.add(name=name, op=kind, input=inputs)
        node.attr["T"].type = DT_DOUBLE
        for flag, value in flags.items():
            node.attr[flag].b = value
        if kind == "Mean":
            node.attr["Tidx"].type = types_pb2.DT_INT32
        return name

    def constant(self, suffix: str, value: Any, dtype: type) -> str:
        name = f"{self._name}/written_out/{suffix}"
        add_constant(self._graph_def, name, np.asarray(value, dtype))
        return name


@contextmanager
def _explained(tf: Any, inputs: tuple[Port, ...]) -> Iterator[None]:
    """Turn what TensorFlow raises for a graph into an error for a user."""
    try:
        yield
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise Unsupported(
            f"TensorFlow cannot evaluate the model on the CPU in the precision of the proof:"
            f" {said(error)}",
            _way_out(str(error), inputs),
        ) from error


def _way_out(what: str, inputs: tuple[Port, ...]) -> str:
    """Return what to do about a graph that TensorFlow cannot run."""
    if any(word in what for word in ("NHWC", "NCHW", "channels_first", "data_format")):
        return "build the layer with data_format='channels_last': no CPU has it channels_first"
    open_ports = [port.name for port in inputs if None in port.shape[1:]]
    if open_ports and "OpKernel" not in what:
        names = ", ".join(map(repr, open_ports))
        return f"if not every length will do for {names}, give real inputs with --samples"
    return "write that part of the model with other ops, and export it anew"


def _imported(tf: Any, graph_def: GraphDef) -> Any:
    graph = tf.Graph()
    with graph.as_default(), _explained(tf, ()):
        tf.import_graph_def(graph_def, name="")
    return graph


class GraphRunner:
    """A session on the graph of a model, with TensorFlow's own rewriting switched off.

    Great constants are fed to it with every run, so that the graph holds no copy of them.

    Raises:
        Unsupported: TensorFlow has no CPU kernel for an op, or the inputs do not fit.
    """

    def __init__(self, model: FrozenModel) -> None:
        import tensorflow as tf

        graph_def, self._weights = _fed(model)
        self._inputs = model.inputs
        graph_def = channels_last(graph_def)
        graph = _imported(tf, graph_def)
        if groups := groups_in(graph):
            graph = _imported(tf, in_single_groups(graph_def, groups))
        options = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
        options.graph_options.rewrite_options.disable_meta_optimizer = True
        options.graph_options.optimizer_options.opt_level = -1
        self.graph = graph
        self._session = tf.compat.v1.Session(graph=graph, config=options)

    def run(self, fetch: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the values of the tensors `fetch` for the placeholders in `feed`."""
        full = [_full(name) for name in fetch]
        arrays = {f"{name}:0": array for name, array in (feed | self._weights).items()}
        import tensorflow as tf

        with _explained(tf, self._inputs):
            return list(self._session.run(full, arrays))

    def dtype_of(self, tensor: str) -> str:
        """Return NumPy's name of a tensor's element type."""
        return str(self.graph.get_tensor_by_name(_full(tensor)).dtype.as_numpy_dtype.__name__)

    def has_floats(self, tensor: str) -> bool:
        """Whether there is a tensor of this name, and it holds floats, not lists of tensors say."""
        try:
            return bool(self.graph.get_tensor_by_name(_full(tensor)).dtype.is_floating)
        except KeyError:
            return False

    def shape_of(self, tensor: str) -> tuple[int | None, ...] | None:
        """Return the shape that TensorFlow infers, None where it knows no rank."""
        shape = self.graph.get_tensor_by_name(_full(tensor)).shape
        return None if shape.rank is None else tuple(shape.as_list())


def _fed(model: FrozenModel) -> tuple[GraphDef, dict[str, NDArray[Any]]]:
    """Return the graph with a Placeholder for each stub, and what to feed to them."""
    graph_def, stubs = empty_like(model.graph_def), set(model.stubs())
    weights = {}
    for node in model.graph_def.node:
        if node.name not in stubs:
            graph_def.node.append(node)
            continue
        fed = graph_def.node.add(name=node.name, op="Placeholder")
        fed.attr["dtype"].CopyFrom(node.attr["dtype"])
        fed.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
        kind = numpy_type(node.attr["dtype"].type)
        weights[node.name] = _aligned(model.values[node.name], kind)
    return graph_def, weights


def _aligned(value: NDArray[Any], kind: Any) -> NDArray[Any]:
    """Return an array of type `kind` that TensorFlow can read where it lies, uncopied."""
    if value.dtype == kind and value.flags.c_contiguous and not value.ctypes.data % _ALIGNMENT:
        return value
    length = value.size * np.dtype(kind).itemsize
    room = np.empty(length + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    result: NDArray[Any] = room[start : start + length].view(kind).reshape(value.shape)
    result[...] = value
    return result


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"

"""Export a frozen graph to ONNX with tf2onnx, under the model's own input and output names."""

from __future__ import annotations

import gc
import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import ConversionFailed, said
from foldbn.export.onnx_biases import with_plain_biases
from foldbn.export.onnx_functions import with_known_functions
from foldbn.export.onnx_graph import captured
from foldbn.export.onnx_grids import with_dilations
from foldbn.export.onnx_passes import tidy
from foldbn.export.onnx_strides import without_gaps
from foldbn.export.stand_ins import with_placeholders
from foldbn.frontends.channels_last import (
    channels_last,
    has_computed_sizes,
    has_grids,
    refuse_open_grids,
)
from foldbn.frontends.frozen import FrozenModel
from foldbn.version import __version__

DEFAULT_OPSET = 18
_BATCH = "batch"
_MUCH = 2**26  # bytes; looking for garbage takes half a second
_COUNTED = re.compile(r"(.*)__(\d+)(.*)", re.DOTALL)


def to_onnx(
    model: FrozenModel,
    *,
    batch_size: int | None = None,
    opset: int = DEFAULT_OPSET,
    origin: dict[str, str] | None = None,
) -> bytes:
    """Return `model` as a checked ONNX file.

    Args:
        model: to be exported.
        batch_size: length of the leading axis; None leaves it dynamic.
        opset: of the default ONNX domain.
        origin: what the file says of where it comes from, in its ``metadata_props``.

    Raises:
        ConversionFailed: tf2onnx or the ONNX checker refuses, or a dilated convolution has
            images of open lengths.
    """
    import onnx
    from tf2onnx import convert

    refuse_open_grids(model.graph_def)
    if has_grids(model.graph_def) or has_computed_sizes(model.graph_def):
        model = replace(model, graph_def=channels_last(model.graph_def))
    plain = with_plain_biases(without_gaps(with_dilations(model)).with_batch_size(batch_size))
    light = with_placeholders(with_known_functions(plain))
    try:
        proto, _ = convert.from_graph_def(
            light.model.graph_def,
            input_names=[f"{node}:0" for node in (*(p.node for p in model.inputs), *light.weights)],
            output_names=[f"{port.node}:0" for port in model.outputs],
            opset=opset,
        )
        tidy(proto, [f"{name}:0" for name in light.weights])
        onnx.checker.check_model(proto, full_check=True)
        weights = _settle_weights(proto, light.weights)
        _number(proto.graph)
        _rename_ports(proto.graph, model)
        _name_open_axes(proto.graph)
        _fill(proto.graph, weights)
        proto.graph.name, proto.graph.doc_string = "model", ""
        if origin is not None:
            _sign(proto, origin)
        return bytes(proto.SerializeToString(deterministic=True))
    except Exception as error:  # tf2onnx raises whatever it stumbles over
        raise ConversionFailed(
            f"tf2onnx cannot export the model at opset {opset}: {said(error)}",
            "foldbn convert --to tflite leaves ONNX out",
        ) from error
    finally:
        proto = None
        if sum(value.nbytes for value in light.weights.values()) > _MUCH:
            gc.collect()  # the exporter's graphs refer to each other, and hold the weights


def _settle_weights(proto: Any, weights: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Turn the inputs that stand for weights into initializers, and return their values.

    What is computed from weights alone, their transpositions above all, is computed here. The
    initializers are still without numbers, which would be copied with every change of their
    order: each has the name of its value as its doc_string.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    known = {f"{name}:0": value for name, value in weights.items()}
    fixed = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    opsets = {each.domain: each.version for each in proto.opset_import}
    kept = []
    for node in proto.graph.node:
        sources = [name for name in node.input if name]
        derived = any(name in known for name in sources) and not captured(node)
        if not derived or not all(name in known or name in fixed for name in sources):
            kept.append(node)
            continue
        values = {name: known.get(name, fixed.get(name)) for name in sources}
        results: Any = ReferenceEvaluator(node, opsets=opsets).run(None, values)
        known.update(zip(node.output, results, strict=True))
    inputs = [value for value in proto.graph.input if value.name not in known]
    read = {name for node in kept for name in (*node.input, *captured(node))}
    del proto.graph.node[:], proto.graph.input[:]
    proto.graph.node.extend(kept)
    proto.graph.input.extend(inputs)
    found = {name: value for name, value in known.items() if name in read}
    proto.graph.initializer.extend(onnx.TensorProto(name=n, doc_string=n) for n in found)
    unread = [t for t in proto.graph.initializer if t.name not in read]
    for tensor in unread:
        proto.graph.initializer.remove(tensor)
    return found


def _fill(graph: Any, weights: dict[str, NDArray[Any]]) -> None:
    """Give each initializer that names a weight in its doc_string the numbers of it."""
    import onnx

    for tensor in graph.initializer:
        value = weights.pop(tensor.doc_string, None)
        if value is not None:
            tensor.ClearField("doc_string")
            tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            tensor.dims.extend(value.shape)
            tensor.raw_data = np.ascontiguousarray(value).tobytes()


def _number(graph: Any) -> None:
    """Number tf2onnx's own names by the order of their nodes: its counters vary from run to run.

    Inputs and outputs keep theirs, and other numbers begin past those that they have.
    """
    found = [_COUNTED.match(value.name) for value in (*graph.input, *graph.output)]
    ports = [match.groups() for match in found if match is not None]
    first = max((int(counter) + 1 for _, counter, _ in ports), default=0)
    _renumber(
        graph, {f"{stem}__{counter}": f"{stem}__{counter}" for stem, counter, _ in ports}, first
    )


def _renumber(graph: Any, numbers: dict[str, str], first: int) -> None:
    """Number names from `first` on but those in `numbers`, which all numbers are added to.

    Initializers follow the order in which they are read.
    """

    def settled(name: str) -> str:
        found = _COUNTED.match(name)
        if found is None:
            return name
        stem, counter, rest = found.groups()
        number = numbers.setdefault(f"{stem}__{counter}", f"{stem}__{first + len(numbers)}")
        return f"{number}{rest}"

    for node in graph.node:
        node.input[:] = [settled(name) for name in node.input]
        node.output[:] = [settled(name) for name in node.output]
        node.name = settled(node.name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _renumber(attribute.g, numbers, first)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = settled(value.name)
    order = {name: place for place, name in enumerate(n for node in graph.node for n in node.input)}
    tensors = sorted(graph.initializer, key=lambda tensor: (order.get(tensor.name, 0), tensor.name))
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    values = sorted(graph.value_info, key=lambda value: value.name)
    del graph.value_info[:]
    graph.value_info.extend(values)


def _rename_ports(graph: Any, model: FrozenModel) -> None:
    """Give inputs and outputs the model's names, and other tensors of such a name another."""
    ports = {f"{port.node}:0": port.name for port in (*model.inputs, *model.outputs)}
    inner = {name for node in graph.node for name in (*node.input, *node.output)}
    inner |= {tensor.name for tensor in graph.initializer}
    names = ports | {
        name: f"{name}_inner" for name in inner & set(ports.values()) if name not in ports
    }
    _rename(graph, names)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Rename what the nodes read and write, those inside If and Loop too."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)


def _name_open_axes(graph: Any) -> None:
    """Name each axis of the ports whose length is open: the batch, and others by place."""
    for value in (*graph.input, *graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_param = f"{value.name}_axis_{axis}" if axis else _BATCH


def _sign(proto: Any, origin: dict[str, str]) -> None:
    """Let an ONNX file say where it comes from, without any time or path."""
    proto.producer_name, proto.producer_version = "foldbn", __version__
    properties = {"version": __version__, **origin}
    for key, value in sorted(properties.items()):
        proto.metadata_props.add(key=f"foldbn.{key}", value=value)

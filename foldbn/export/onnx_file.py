"""Export a frozen graph to ONNX with tf2onnx, under the model's own input and output names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import ConversionFailed
from foldbn.export.stand_ins import with_placeholders
from foldbn.frontends.frozen import FrozenModel
from foldbn.version import __version__

DEFAULT_OPSET = 18
_BATCH = "batch"


def to_onnx(
    model: FrozenModel,
    *,
    batch_size: int | None = None,
    opset: int = DEFAULT_OPSET,
) -> bytes:
    """Return `model` as a checked ONNX file.

    Args:
        model: to be exported.
        batch_size: length of the leading axis; None leaves it dynamic.
        opset: of the default ONNX domain.

    Raises:
        ConversionFailed: tf2onnx or the ONNX checker refuses.
    """
    import onnx
    from tf2onnx import convert

    light = with_placeholders(model.with_batch_size(batch_size))
    try:
        proto, _ = convert.from_graph_def(
            light.model.graph_def,
            input_names=[f"{node}:0" for node in (*(p.node for p in model.inputs), *light.weights)],
            output_names=[f"{port.node}:0" for port in model.outputs],
            opset=opset,
        )
        _put_weights_in(proto, light.weights)
        _rename_ports(proto.graph, model)
        _name_batch_axis(proto.graph, batch_size)
        proto.graph.name, proto.graph.doc_string = "model", ""
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # tf2onnx raises whatever it stumbles over
        text = " ".join(str(error).split())
        raise ConversionFailed(
            f"tf2onnx cannot export the model at opset {opset}: {text[:300]}",
            "foldbn convert --to tflite leaves ONNX out",
        ) from error
    return bytes(proto.SerializeToString(deterministic=True))


def _put_weights_in(proto: Any, weights: dict[str, NDArray[Any]]) -> None:
    """Turn the inputs that stand for weights into initializers.

    What is computed from weights alone, their transpositions above all, is computed here.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    known = {f"{name}:0": value for name, value in weights.items()}
    fixed = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    opsets = {each.domain: each.version for each in proto.opset_import}
    kept = []
    for node in proto.graph.node:
        sources = [name for name in node.input if name]
        derived = any(name in known for name in sources)
        if not derived or not all(name in known or name in fixed for name in sources):
            kept.append(node)
            continue
        values = {name: known.get(name, fixed.get(name)) for name in sources}
        results: Any = ReferenceEvaluator(node, opsets=opsets).run(None, values)
        known.update(zip(node.output, results, strict=True))
    inputs = [value for value in proto.graph.input if value.name not in known]
    read = {name for node in kept for name in node.input}
    del proto.graph.node[:], proto.graph.input[:]
    proto.graph.node.extend(kept)
    proto.graph.input.extend(inputs)
    for name, value in known.items():
        if name in read:
            tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
            proto.graph.initializer.append(tensor)
    unread = [t for t in proto.graph.initializer if t.name not in read]
    for tensor in unread:
        proto.graph.initializer.remove(tensor)


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


def _name_batch_axis(graph: Any, batch_size: int | None) -> None:
    if batch_size is not None:
        return
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_param = _BATCH


def sign(content: bytes, sha256: str, counts: dict[str, int]) -> bytes:
    """Return an ONNX file that says where it comes from, without any time or path.

    Args:
        content: of the file.
        sha256: of the source model.
        counts: how many affine layers had which outcome.
    """
    import onnx

    proto = onnx.load_from_string(content)
    proto.producer_name, proto.producer_version = "foldbn", __version__
    properties = {
        "foldbn.version": __version__,
        "foldbn.source_sha256": sha256,
        **{f"foldbn.{name}": str(count) for name, count in counts.items()},
    }
    for key, value in sorted(properties.items()):
        proto.metadata_props.add(key=key, value=value)
    return bytes(proto.SerializeToString(deterministic=True))

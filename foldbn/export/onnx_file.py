"""Export a frozen graph to ONNX with tf2onnx, under the model's own input and output names."""

from __future__ import annotations

from typing import Any

from foldbn.errors import ConversionFailed
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

    try:
        proto, _ = convert.from_graph_def(
            model.with_batch_size(batch_size).graph_def,
            input_names=[f"{port.node}:0" for port in model.inputs],
            output_names=[f"{port.node}:0" for port in model.outputs],
            opset=opset,
        )
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


def _rename_ports(graph: Any, model: FrozenModel) -> None:
    """Give inputs and outputs the model's names, and other tensors of such a name another."""
    ports = {f"{port.node}:0": port.name for port in (*model.inputs, *model.outputs)}
    inner = {name for node in graph.node for name in (*node.input, *node.output)}
    inner |= {tensor.name for tensor in graph.initializer}
    names = ports | {
        name: f"{name}_inner" for name in inner & set(ports.values()) if name not in ports
    }
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)


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

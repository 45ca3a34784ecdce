"""Tell whether an exported file computes in float16 or bfloat16 anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foldbn.frontends import safety

_ONNX_HALVES = (10, 16)  # TensorProto's FLOAT16 and BFLOAT16
_DATA_TYPES = (14, 19)  # TensorFlow's DT_BFLOAT16 and DT_HALF
_TENSOR_TYPES = (1, 18)  # TFLite's FLOAT16 and BFLOAT16


def computes_in_half(content: bytes | Path) -> bool:
    """Whether a tensor of a file, or a weight in it, has a half precision.

    Args:
        content: of an .onnx or .tflite file; the path of a SavedModel directory.

    Raises:
        Unsafe: it is a SavedModel that would touch the machine.
    """
    if isinstance(content, Path):
        return _saved_model(safety.read_checked(content))
    try:
        return _tflite(content) if content[4:8] == b"TFL3" else _onnx(content)
    except Exception:  # noqa: BLE001 - of a damaged file its runtime says so
        return False


def _saved_model(proto: Any) -> bool:
    graphs = [meta.graph_def for meta in proto.meta_graphs]
    bodies = [graph.node for graph in graphs]
    bodies += [function.node_def for graph in graphs for function in graph.library.function]
    return any(
        kind in _DATA_TYPES
        for body in bodies
        for node in body
        for value in node.attr.values()
        for kind in (value.type, *value.list.type)
    )


def _tflite(content: bytes) -> bool:
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    graphs = [model.Subgraphs(number) for number in range(model.SubgraphsLength())]
    return any(
        graph.Tensors(number).Type() in _TENSOR_TYPES
        for graph in graphs
        for number in range(graph.TensorsLength())
    )


def _onnx(content: bytes) -> bool:
    import onnx

    graph = onnx.load_from_string(content).graph
    ports = [*graph.input, *graph.output, *graph.value_info]
    weights = [*graph.initializer, *(a.t for n in graph.node for a in n.attribute)]
    casts = [a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"]
    kinds = [p.type.tensor_type.elem_type for p in ports] + [w.data_type for w in weights] + casts
    return any(kind in _ONNX_HALVES for kind in kinds)

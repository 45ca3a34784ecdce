"""Count the nodes and weights of an exported file or graph."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from foldbn.export.saved_model_file import as_served
from foldbn.frontends.frozen import FrozenModel

_FLOAT32 = 1  # DT_FLOAT
_NO_COMPUTATION = ("Const", "Placeholder", "Identity")


@dataclass(frozen=True)
class GraphStatistics:
    """What a file holds.

    Attributes:
        ops: how many nodes of each op type there are.
        params: numbers stored as weights, shapes and other integers left out.
        bytes: size of the file.
    """

    ops: dict[str, int]
    params: int
    bytes: int

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return sum(self.ops.values())


def format_of(content: bytes | Path) -> str:
    """Return the format of an exported model.

    That is ``tflite`` for content with that format's identifier, ``savedmodel`` for the path
    of a directory, otherwise ``onnx``.
    """
    if isinstance(content, Path):
        return "savedmodel"
    return "tflite" if content[4:8] == b"TFL3" else "onnx"


def statistics_of(content: bytes) -> GraphStatistics:
    """Return the statistics of an ONNX or TFLite file's content."""
    count = _count_tflite if format_of(content) == "tflite" else _count_onnx
    ops, params = count(content)
    return GraphStatistics(dict(sorted(ops.items())), params, len(content))


def graph_statistics(model: FrozenModel, folder: Path | None = None) -> GraphStatistics:
    """Return the statistics of a frozen graph as a SavedModel has it.

    Args:
        model: its constants are weights or settings, and not counted as nodes.
        folder: the SavedModel that holds it; its files are `bytes`, which are 0 without it.
    """
    nodes = as_served(model).graph_def.node
    ops = Counter(node.op for node in nodes if node.op not in _NO_COMPUTATION)
    params = 0
    for node in nodes:
        if node.op == "Const" and node.attr["dtype"].type == _FLOAT32:
            shape = node.attr["value"].tensor.tensor_shape
            params += math.prod(dim.size for dim in shape.dim)
    files = [] if folder is None else [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return GraphStatistics(dict(sorted(ops.items())), params, size)


def _count_onnx(content: bytes) -> tuple[Counter[str], int]:
    import onnx

    graph = onnx.load_from_string(content).graph
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    params = sum(math.prod(t.dims) for t in graph.initializer if t.data_type in floats)
    return Counter(node.op_type for node in graph.node), params


def _count_tflite(content: bytes) -> tuple[Counter[str], int]:
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    graph = model.subgraphs[0]
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    ops = Counter(str(names.get(codes[op.opcodeIndex])) for op in graph.operators)
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64)
    params = 0
    for tensor in graph.tensors:
        stored = model.buffers[tensor.buffer].data
        if tensor.type in floats and stored is not None and len(stored):
            params += math.prod(tensor.shape)
    return ops, int(params)

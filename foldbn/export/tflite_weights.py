"""Put the weights into a TFLite file that was converted with stand-ins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.export.stand_ins import STRANGE, LightModel


def fill(content: bytes, light: LightModel) -> bytes | None:
    """Return the file with the weights in place of their stand-ins.

    Returns:
        The file, or None where a stand-in is not found as it went in, or another number is of
        its kind: the converter has computed with it, as it does with the bias of a Dense layer
        and the kernel of the next, or laid it out in a way that is not known here.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    filled = bytearray(content)
    model = schema.Model.GetRootAs(filled)
    graph = model.Subgraphs(0)
    uses, own = _uses(model, graph), _strange_numbers(light)
    flipped = _transposed_kernels(light)
    found = set()
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Type() != schema.TensorType.FLOAT32 or not buffer.DataLength():
            continue
        place = buffer.DataAsNumpy().view(np.float32)
        name = light.values.get(float(place[0]))
        if name not in light.weights or not (place == place[0]).all():
            if not own.issuperset(place[_is_strange(place)].tolist()):
                return None
            continue
        shape = tuple(tensor.ShapeAsNumpy().tolist())
        weight = _laid_out(light.weights[name], uses.get(index), transposed=name in flipped)
        if weight is None or weight.shape != shape:
            return None
        place[:] = weight.ravel()
        found.add(name)
    return bytes(filled) if found == set(light.weights) else None


def _strange_numbers(light: LightModel) -> set[float]:
    """Return the numbers of a model's small constants that are as great as stand-ins."""
    from tensorflow.python.framework import tensor_util

    found: set[float] = set()
    for node in light.model.graph_def.node:
        if node.op == "Const" and node.name not in light.weights:
            value = tensor_util.MakeNdarray(node.attr["value"].tensor)
            if value.dtype == np.float32:
                found.update(value[_is_strange(value)].tolist())
    return found


def _is_strange(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    small: NDArray[np.bool_] = np.abs(numbers) < STRANGE
    return ~small


def _uses(model: Any, graph: Any) -> dict[int, tuple[int, int]]:
    """Return the builtin op that reads each tensor, and at which of its inputs."""
    codes = [
        max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        for code in map(model.OperatorCodes, range(model.OperatorCodesLength()))
    ]
    uses = {}
    for operator in map(graph.Operators, range(graph.OperatorsLength())):
        for place, tensor in enumerate(operator.InputsAsNumpy()):
            uses[int(tensor)] = (codes[operator.OpcodeIndex()], place)
    return uses


def _transposed_kernels(light: LightModel) -> set[str]:
    """Return the kernels that a MatMul reads as ``[out, in]``."""
    nodes = light.model.graph_def.node
    return {node.input[1] for node in nodes if node.op == "MatMul" and node.attr["transpose_b"].b}


def _laid_out(
    weight: NDArray[Any], use: tuple[int, int] | None, *, transposed: bool
) -> NDArray[Any] | None:
    """Return a weight in the layout that TFLite's op wants, None where that is not known."""
    from tensorflow.lite.python.schema_py_generated import BuiltinOperator

    match use:
        case (BuiltinOperator.CONV_2D, 1):
            return weight.transpose(3, 0, 1, 2)
        case (BuiltinOperator.TRANSPOSE_CONV, 1):
            return weight.transpose(2, 0, 1, 3)
        case (BuiltinOperator.DEPTHWISE_CONV_2D, 1):
            return weight.reshape(1, *weight.shape[:2], -1)
        case (BuiltinOperator.FULLY_CONNECTED, 1):
            return weight if transposed else weight.T
        case None | (BuiltinOperator.BATCH_MATMUL, _):
            return None
    return weight

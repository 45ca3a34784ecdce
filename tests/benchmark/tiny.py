"""Models of one op, and a runner of them."""

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from foldbn.benchmark.sessions import open_runner

CPU = "CPUExecutionProvider"
QUICK = {"provider": CPU, "threads": 1, "seed": 0, "pairs": 6, "budget_s": 5.0}


def write_onnx(  # noqa: PLR0917
    path, shape=("N", 8), dtype=TensorProto.FLOAT, op="Relu", name="x", constant=0
):
    """Write a model of one node, whose second operand is `constant` ones if there are any."""
    x = helper.make_tensor_value_info(name, dtype, shape)
    y = helper.make_tensor_value_info("y", dtype, shape)
    ones = [numpy_helper.from_array(np.ones(constant, np.float32), "ones")] if constant else []
    node = helper.make_node(op, [name, *(each.name for each in ones)], ["y"])
    graph = helper.make_graph([node], "tiny", [x], [y], ones)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def write_lookup(path, rows):
    """Write a model that takes int64 indices into a table of `rows` rows."""
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 3])
    table = numpy_helper.from_array(np.ones((rows, 3), np.float32), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    graph = helper.make_graph([node], "lookup", [x], [y], [table])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def write_tflite(path, batch=-1, length=8):
    """Write a TFLite model that adds its input to itself."""

    def tensor(name):
        made = schema.TensorT()
        made.name, made.type, made.buffer = name, schema.TensorType.FLOAT32, 0
        made.shape, made.shapeSignature = [abs(batch), abs(length)], [batch, length]
        return made

    code, node, graph, model = (
        schema.OperatorCodeT(),
        schema.OperatorT(),
        schema.SubGraphT(),
        schema.ModelT(),
    )
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    node.inputs, node.outputs = [0, 0], [1]
    node.builtinOptionsType = schema.BuiltinOptions.AddOptions
    node.builtinOptions = schema.AddOptionsT()
    graph.tensors, graph.operators = [tensor("x"), tensor("y")], [node]
    graph.inputs, graph.outputs = [0], [1]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def opened(path, kind="onnx", **changes):
    """Open a runner with this file's usual settings."""
    settings = {"provider": CPU, "threads": 1, "batch_size": None, "seed": 0} | changes
    return open_runner(path, kind, **settings)

"""A model of mixed precision: files of it that compute in float16, faults, the report."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

import foldbn
from foldbn import ops
from foldbn.affine import Affine
from foldbn.errors import VerificationFailed
from foldbn.report import document, render
from foldbn.rules import forward
from tests.precision.policies import SHAPE, Case, built


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Case:
    """Return the network under Keras's most common policy besides float32."""
    return Case("mixed_float16", tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def half_onnx(mixed) -> bytes:
    """Return the file that Keras writes of a mixed model: it computes in float16."""
    import warnings

    path = mixed.folder / "keras.onnx"
    mixed.model(np.zeros((1, *SHAPE), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        mixed.model.export(path, format="onnx", verbose=False)
    return path.read_bytes()


def test_verify_takes_the_half_file_of_another_tool(mixed, half_onnx, tmp_path):
    """A file that computes in float16 is not refused for it, but for a fault it is."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(half_onnx)
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    casts = [node for node in proto.graph.node if node.op_type == "Cast"]
    assert onnx.TensorProto.FLOAT16 in kinds
    assert casts
    (tmp_path / "right.onnx").write_bytes(half_onnx)
    kernel = next(t for t in proto.graph.initializer if sorted(t.dims) == [3, 3, 3, 8])
    value = numpy_helper.to_array(kernel).copy()
    first = int(np.argmax(np.array(value.shape) == 8))
    moved = np.moveaxis(value, first, 0)
    moved[[0, 1]] = moved[[1, 0]]
    kernel.CopyFrom(numpy_helper.from_array(value, kernel.name))
    (tmp_path / "wrong.onnx").write_bytes(proto.SerializeToString())
    result = foldbn.verify(mixed.path, [tmp_path / "right.onnx", tmp_path / "wrong.onnx"])
    right, wrong = (artifact.verification for artifact in result.artifacts)
    assert right.passed
    assert right.error > 1e-5
    assert not wrong.passed
    assert wrong.error > 4 * wrong.tolerance


def test_verify_takes_weights_that_are_rounded(mixed, tmp_path):
    """A float32 file whose weights are those that the mixed model computes with passes."""
    normal = [layer for layer in mixed.model.layers if layer.name.startswith("bn")]
    rounded = built("float32")
    weights = {id(w) for layer in normal for w in layer.weights}
    values = [
        np.asarray(w) if id(w) in weights else np.asarray(w).astype(np.float16).astype(np.float32)
        for w in mixed.model.weights
    ]
    rounded.set_weights(values)
    rounded.save(tmp_path / "rounded.keras")
    made = foldbn.convert(tmp_path / "rounded.keras", bench=False)
    result = foldbn.verify(mixed.path, [each.path for each in made.artifacts])
    assert result.passed
    for each in result.artifacts:
        assert each.verification.error <= each.verification.tolerance < 1e-5


@pytest.mark.parametrize(("factor", "passes"), [(0.5 - 2**-12, True), (0.51, False)])
def test_half_files_are_judged_in_units_of_half(tmp_path, factor, passes):
    """Where the original happens to round nothing, a file may still round as float16 does."""
    import tensorflow as tf
    from onnx import TensorProto, checker, helper, numpy_helper

    module = tf.Module()
    spec = tf.TensorSpec((None, 6), tf.float16, name="x")
    module.call = tf.function(lambda x: {"y": x * tf.constant(0.5, tf.float16)}, autograph=False)
    tf.saved_model.save(module, tmp_path / "model", module.call.get_concrete_function(spec))
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, ("batch", 6)) for name in "xy"
    ]
    weight = numpy_helper.from_array(np.array(factor, np.float16), "factor")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])], "half", ports[:1], ports[1:], [weight]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(proto)
    (tmp_path / "half.onnx").write_bytes(proto.SerializeToString())
    assert foldbn.verify(tmp_path / "model", [tmp_path / "half.onnx"]).passed is passes


def test_a_wrong_rule_is_found_in_a_half_model(mixed, tmp_path, monkeypatch):
    """A rule that forgets the shift is found by the algebra, and nothing is written."""
    rule = forward._table[ops.Dense]
    monkeypatch.setitem(
        forward._table,
        ops.Dense,
        lambda op, affine: rule(op, Affine(affine.scale, np.zeros_like(affine.shift))),
    )
    with pytest.raises(VerificationFailed, match="differs in float64"):
        foldbn.convert(mixed.path, output_dir=tmp_path / "out", bench=False)
    assert not (tmp_path / "out").exists()


def test_the_report_tells_the_precision(mixed):
    """Text and document name what the model computes in, and what is exported."""
    assert '"precision": "mixed_float16"' in document(mixed.result)
    console = Console(file=StringIO(), width=120)
    render(mixed.result, console)
    assert "computes in mixed_float16; foldbn exports float32" in console.file.getvalue()

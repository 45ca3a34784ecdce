"""A SavedModel with an op that nobody has called harmless is refused before TensorFlow loads it."""

from __future__ import annotations

from typing import Any

import pytest

import foldbn
from foldbn.errors import Unsafe
from foldbn.frontends import pure_ops, safety
from foldbn.frontends.saver import SAVER
from tests.conftest import FOREIGN
from tests.frontends.calls import assert_refused, save_call

MODELS = sorted(path.parent.relative_to(FOREIGN) for path in FOREIGN.rglob("saved_model.pb"))
# What the registry calls stateless, and what touches the machine all the same.
TOUCHING = (
    *("ReadFile", "MatchingFiles", "ImmutableConst", "GenerateVocabRemapping", "DecodeProtoV2"),
    *("EncodeProto", "PyFuncStateless", "XlaCustomCall", "MlirPassthroughOp", "Copy", "CopyHost"),
    *("DebugIdentity", "RegisterDataset", "Abort", "Batch", "BatchFunction", "SymbolicGradient"),
)
STATE_IN_MEMORY = ("Var", "Tensor", "Temporary", "Stack", "CudnnRNN", "Resource", "Assign")


def registry() -> dict[str, Any]:
    """Return all ops of this TensorFlow, by name."""
    import tensorflow as tf  # noqa: F401 - it fills the registry
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    content = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return {op.name: op for op in op_def_pb2.OpList.FromString(content).op}


def test_list_holds_what_it_says():
    """Every listed op is registered, and the stateful among them keep their state in memory."""
    known = registry()
    assert set(known) >= pure_ops.ALLOWED
    stateful = {name for name in pure_ops.ALLOWED if known[name].is_stateful}
    flow = {"If", "While", "Case", "StatefulPartitionedCall", "DeviceIndex", "GuaranteeConst"}
    plain = {"Assert", "Print", "CheckNumerics", "CheckNumericsV2", "Empty", "DisableCopyOnRead"}
    rest = stateful - pure_ops.RANDOM - flow - plain - {"ReadVariableOp", "DestroyResourceOp"}
    assert all(name.startswith(STATE_IN_MEMORY) for name in rest), sorted(rest)


def test_list_holds_nothing_that_touches_the_machine():
    """Neither what is known for it, nor an op with a name, or an attribute, that speaks of it."""
    known = registry()
    assert not pure_ops.ALLOWED & {*TOUCHING, *SAVER, "PrintV2", "FixedUnigramCandidateSampler"}
    assert all(name in known for name in TOUCHING)
    telling = ("File", "Dataset", "Iterator", "Reader", "Queue", "Table", "PyFunc", "Rpc", "TPU")
    harmless = {"ShardedFilename", "ShardedFilespec"}  # they make a name, and open nothing
    named = {name for name in pure_ops.ALLOWED if any(word in name for word in telling)}
    assert named == harmless
    ends = (
        "file",
        "filename",
        "path",
        "pattern",
        "address",
        "url",
        "urls",
        "source",
        "region_name",
    )
    attributes = {(n, a.name) for n in pure_ops.ALLOWED for a in known[n].attr}
    found = {n for n, name in attributes if name.endswith(ends)}
    # A pattern of text, and the name of a gradient.
    assert all(name.startswith(("StaticRegex", "TensorArrayGrad")) for name in found), found


@pytest.mark.parametrize("model", MODELS or [None], ids=str)
def test_real_models_pass(foreign_models, model):
    """What TensorFlow 2.4 to 2.16 wrote is let through."""
    safety.read_checked(foreign_models / model)


def test_own_models_pass(networks):
    """What this TensorFlow and Keras write is let through."""
    for path in sorted(networks.glob("*_savedmodel")):
        safety.read_checked(path)


def _number(tf: Any, text: Any) -> Any:
    return tf.cast(tf.strings.length(text), tf.float32)


def _reads(tf: Any, x: Any) -> Any:
    return x + _number(tf, tf.io.read_file("/etc/hostname"))


def _reads_deep(tf: Any, x: Any) -> Any:
    """Read a file in a function that a branch of a conditional in a loop calls."""

    @tf.function
    def inner(y: Any) -> Any:
        return _reads(tf, y)

    @tf.function
    def outer(y: Any) -> Any:
        return tf.cond(tf.reduce_sum(y) > 1e9, lambda: inner(y), lambda: y)

    return tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, outer(y)), (0, x))[1]


def _python(tf: Any, x: Any) -> Any:
    y = tf.numpy_function(lambda a: a, [x], tf.float32)
    y.set_shape(x.shape)
    return y


def _prints(tf: Any, x: Any) -> Any:
    with tf.control_dependencies([tf.print(x, output_stream="file:///tmp/foldbn-told.txt")]):
        return x * 2.0


def _saves(tf: Any, x: Any) -> Any:
    with tf.control_dependencies(
        [tf.raw_ops.SaveV2(prefix="stolen", tensor_names=["x"], shape_and_slices=[""], tensors=[x])]
    ):
        return x * 2.0


def _restores(tf: Any, x: Any) -> Any:
    (value,) = tf.raw_ops.RestoreV2(
        prefix="/elsewhere/model", tensor_names=["w"], shape_and_slices=[""], dtypes=["float32"]
    )
    return x + tf.reduce_sum(value)


def _table(tf: Any, x: Any) -> Any:
    pairs = tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0])
    table = tf.lookup.StaticHashTable(pairs, 0.0)
    return x + table.lookup(tf.constant(1))


def _lists_files(tf: Any, x: Any) -> Any:
    return x + tf.cast(tf.size(tf.io.matching_files("/etc/*")), tf.float32)


def _dataset(tf: Any, x: Any) -> Any:
    lines = tf.data.TextLineDataset("/etc/hostname")
    return x + lines.reduce(0.0, lambda total, line: total + _number(tf, line))


CALLS = {
    "a file": (_reads, r"an op ReadFile \(ReadFile, in the function __inference_.*reads files"),
    "a file, deep inside": (_reads_deep, "ReadFile .*in the function"),
    "Python": (_python, "PyFunc .*runs Python code"),
    "printing to a file": (_prints, "PrintV2 .*can write files"),
    "saving in a signature": (_saves, "SaveV2 .*writes files, outside of its saver"),
    "restoring in a signature": (_restores, "RestoreV2 .*reads files, outside of its saver"),
    "a list of files": (_lists_files, "MatchingFiles .*reads files"),
    "a dataset": (_dataset, "Dataset .*(reads a stream|reads files)"),
}


@pytest.mark.parametrize(("call", "words"), CALLS.values(), ids=CALLS)
def test_call(tmp_path, call, words):
    """An op that touches the machine is refused by name and place, wherever it hides."""
    assert_refused(save_call(tmp_path / "m", call), Unsafe, words)


def test_table(tmp_path):
    """A lookup table is refused: its initializer would run when the model is loaded."""
    import tensorflow as tf

    pairs = tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0])
    table = tf.lookup.StaticHashTable(pairs, 0.0)
    path = save_call(
        tmp_path / "m", lambda tf, x: x + table.lookup(tf.constant(1)), table=table
    )  # fmt: skip
    assert_refused(path, Unsafe, "Table.* keeps a lookup table")


def test_printing_to_the_log(tmp_path):
    """What a model prints to stderr hurts nobody."""

    def call(tf: Any, x: Any) -> Any:
        with tf.control_dependencies([tf.print(x)]):
            return x * 2.0

    assert foldbn.inspect(save_call(tmp_path / "m", call)).summary.affine_layers == 1


def test_init_op_that_writes(tmp_path):
    """An init op of TensorFlow 1 that writes a file is refused, and the file is not written."""
    import tensorflow as tf

    v1, target = tf.compat.v1, tmp_path / "written.txt"
    builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "m"))
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder("float32", [None, 3], name="x")
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": x * 2.0})
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            main_op=tf.io.write_file(str(target), "x"),
        )
    builder.save()
    assert_refused(tmp_path / "m", Unsafe, r"an op WriteFile \(WriteFile\), which can write files")
    assert not target.exists()

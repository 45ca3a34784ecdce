"""A SavedModel with an op that nobody has called harmless is refused before TensorFlow loads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import FoldbnError, Unsafe, Unsupported
from foldbn.frontends import pure_ops, safety
from foldbn.frontends.saver import SAVER
from tests.conftest import FOREIGN
from tests.frontends.old_graphs import GRAPHS, save

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


def _save(path: Path, call: Callable[..., Any], **attributes: Any) -> Path:
    """Save ``call(tf, x)`` as a SavedModel of version 2, and `attributes` with it."""
    import tensorflow as tf

    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    function = tf.function(
        lambda x: {"y": call(tf, x)},
        input_signature=[tf.TensorSpec((None, 3), name="x")],
        autograph=False,
    )
    module.call = function
    tf.saved_model.save(module, str(path), signatures={"serving_default": function})
    return path


def _refused(path: Path, kind: type[FoldbnError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3
    assert caught.value.hint


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
    _refused(_save(tmp_path / "m", call), Unsafe, words)


def test_table(tmp_path):
    """A lookup table is refused: its initializer would run when the model is loaded."""
    import tensorflow as tf

    pairs = tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0])
    table = tf.lookup.StaticHashTable(pairs, 0.0)
    path = _save(
        tmp_path / "m", lambda tf, x: x + table.lookup(tf.constant(1)), table=table
    )  # fmt: skip
    _refused(path, Unsafe, "Table.* keeps a lookup table")


def test_printing_to_the_log(tmp_path):
    """What a model prints to stderr hurts nobody."""

    def call(tf: Any, x: Any) -> Any:
        with tf.control_dependencies([tf.print(x)]):
            return x * 2.0

    assert foldbn.inspect(_save(tmp_path / "m", call)).summary.affine_layers == 1


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
    _refused(tmp_path / "m", Unsafe, r"an op WriteFile \(WriteFile\), which can write files")
    assert not target.exists()


def _edited(path: Path, change: Callable[[Any], None]) -> Path:
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(proto.meta_graphs[0])
    file.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture
def plain(tmp_path) -> Path:
    """Return a harmless SavedModel of version 2 that a test may spoil."""
    import tensorflow as tf

    weight = tf.Variable(tf.eye(3))
    return _save(tmp_path / "m", lambda _tf, x: x @ weight, weight=weight)


@pytest.fixture
def old(tmp_path) -> Path:
    """Return a harmless SavedModel of version 1 that a test may spoil."""
    return save(GRAPHS["dense"], tmp_path / "m").path


def _idle_function(meta: Any) -> None:
    function = meta.graph_def.library.function.add()
    function.signature.name = "never_called"
    function.node_def.add(name="n", op="WriteFile", input=["a", "b"])


def _unknown(meta: Any) -> None:
    meta.graph_def.node.add(name="strange", op="TheirOwnKernel")


def _endless(meta: Any) -> None:
    for name, other in (("ping", "pong"), ("pong", "ping")):
        function = meta.graph_def.library.function.add()
        function.signature.name = name
        node = function.node_def.add(name="call", op="PartitionedCall")
        node.attr["f"].func.name = other


def _exploding(meta: Any) -> None:
    """Let each of 40 functions call the next one twice."""
    for number in range(40):
        function = meta.graph_def.library.function.add()
        function.signature.name = f"level_{number}"
        for side in "ab" if number < 39 else "":
            node = function.node_def.add(name=side, op="PartitionedCall")
            node.attr["f"].func.name = f"level_{number + 1}"
        function.node_def.add(name="n", op="NoOp")


def _hollow(meta: Any) -> None:
    node = meta.graph_def.node.add(name="bomb", op="Const")
    node.attr["dtype"].type = 1
    tensor = node.attr["value"].tensor
    tensor.dtype = 1
    tensor.float_val.append(0)
    for _ in range(2):
        tensor.tensor_shape.dim.add(size=2**20)


SPOILED = {
    "a function that nobody calls": (_idle_function, Unsafe, r"WriteFile \(n, in the function nev"),
    "an unknown op": (_unknown, Unsupported, r"does not know: TheirOwnKernel \(strange\)"),
    "functions without end": (_endless, Unsafe, "call each other without end"),
    "functions that unfold": (_exploding, Unsafe, "has a function level_"),
    "a hollow constant": (_hollow, Unsafe, r"declares 1,099,511,627,776 numbers and holds 0 bytes"),
}


@pytest.mark.parametrize(("change", "kind", "words"), SPOILED.values(), ids=SPOILED)
def test_spoiled_graph(plain, change, kind, words):
    """What a graph declares is held against reason before anything of it is built."""
    _refused(_edited(plain, change), kind, words)


def test_restore_op_that_writes(old):
    """The restore op of version 1 is run by TensorFlow: it may not write."""

    def change(meta: Any) -> None:
        (restore,) = (n for n in meta.graph_def.node if n.name == meta.saver_def.restore_op_name)
        restore.input.append("^save/SaveV2")

    _refused(_edited(old, change), Unsafe, "SaveV2 .*restoring the variables would run it")


def test_restore_op_that_reads_elsewhere(old):
    """Nor may it read another checkpoint than the model's own."""

    def change(meta: Any) -> None:
        meta.graph_def.node.add(name="elsewhere", op="Const").attr["dtype"].type = 7
        for node in meta.graph_def.node:
            if node.op == "RestoreV2":
                node.input[0] = "elsewhere"

    _refused(_edited(old, change), Unsafe, "RestoreV2 .*on another file")


def test_links_out_of_the_model(plain, tmp_path):
    """A weight file that is a link to elsewhere is not followed; one inside the model is."""
    data = next((plain / "variables").glob("*.data-*"))
    data.rename(plain / "variables" / "real")
    data.symlink_to("real")
    assert foldbn.inspect(plain).source.format == "savedmodel"
    data.unlink()
    (plain / "variables" / "real").rename(tmp_path / "outside")
    data.symlink_to(tmp_path / "outside")
    _refused(plain, Unsafe, "is a link out of the model")


def test_link_to_the_model(plain, tmp_path):
    """The model itself may be given by a link."""
    (tmp_path / "link").symlink_to(plain)
    assert foldbn.inspect(tmp_path / "link").source.format == "savedmodel"


def test_pipe_in_the_model(plain):
    """A pipe in place of a file would be waited for without end."""
    os.mkfifo(plain / "variables" / "pipe")
    _refused(plain, Unsafe, "is no regular file")


def test_nothing_is_run(tmp_path):
    """Loading a SavedModel runs neither its restore op nor its initializers."""
    saved = save(GRAPHS["dense"], tmp_path / "m")

    def change(meta: Any) -> None:
        # An init op that would fail if it were run.
        node = meta.graph_def.node.add(name="fails", op="Assert", input=["no", "no"])
        node.attr["T"].list.type.append(10)
        constant = meta.graph_def.node.add(name="no", op="Const")
        constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = 10
        constant.attr["value"].tensor.bool_val.append(False)
        meta.collection_def["saved_model_main_op"].node_list.value.append("fails")

    assert foldbn.inspect(_edited(saved.path, change)).summary.folded == 1
    assert np.isfinite(saved.outputs["scores"]).all()

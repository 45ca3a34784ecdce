"""SavedModels that were altered, or that reach out of their folder, are refused unseen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import Unsafe, Unsupported
from foldbn.frontends import safety
from tests.frontends.calls import assert_refused, save_call
from tests.frontends.old_graphs import GRAPHS, save


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
    return save_call(tmp_path / "m", lambda _tf, x: x @ weight, weight=weight)


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


def _disguised(meta: Any) -> None:
    """Let a node that reads a file pass for a call of a function."""
    meta.graph_def.library.function.add().signature.name = "ReadFile"
    meta.graph_def.node.add(name="innocent", op="ReadFile", input=["anything"])


def _hollow(meta: Any, side: int = 2**20, name: str = "bomb", kind: int = 1) -> None:
    node = meta.graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = kind
    tensor = node.attr["value"].tensor
    tensor.dtype = kind
    tensor.tensor_content = bytes(8 if kind == 2 else 4)
    for _ in range(2):
        tensor.tensor_shape.dim.add(size=side)


def _hollow_together(meta: Any) -> None:
    for number in range(65):
        _hollow(meta, 2**10, f"bomb_{number}")


def _hollow_doubles(meta: Any) -> None:
    _hollow(meta, 6000, kind=2)


SPOILED = {
    "a function that nobody calls": (_idle_function, Unsafe, r"WriteFile \(n, in the function nev"),
    "an op in the disguise of a function": (_disguised, Unsafe, "called like the op ReadFile"),
    "an unknown op": (_unknown, Unsupported, r"does not know: TheirOwnKernel \(strange\)"),
    "functions without end": (_endless, Unsafe, "call each other without end"),
    "functions that unfold": (_exploding, Unsafe, "has a function level_"),
    "a hollow constant": (_hollow, Unsafe, r"declare 4,398,046,\d+,\d+ bytes .* 'bomb'"),
    "many of them": (_hollow_together, Unsafe, r"declare 27\d,\d+,\d+ bytes .* 'bomb_64'"),
    "of doubles": (_hollow_doubles, Unsafe, r"declare 28\d,\d+,\d+ bytes"),
}


@pytest.mark.parametrize(("change", "kind", "words"), SPOILED.values(), ids=SPOILED)
def test_spoiled_graph(plain, change, kind, words):
    """What a graph declares is held against reason before anything of it is built."""
    assert_refused(_edited(plain, change), kind, words)


def test_constants_of_one_number(plain):
    """A mask of a few thousand to a side may be declared by one number."""
    safety.read_checked(_edited(plain, lambda meta: _hollow(meta, 8000)))


def test_restore_op_that_writes(old):
    """The restore op of version 1 is run by TensorFlow: it may not write."""

    def change(meta: Any) -> None:
        (restore,) = (n for n in meta.graph_def.node if n.name == meta.saver_def.restore_op_name)
        restore.input.append("^save/SaveV2")

    assert_refused(_edited(old, change), Unsafe, "SaveV2 .*restoring the variables would run it")


def test_restore_op_that_reads_elsewhere(old):
    """Nor may it read another checkpoint than the model's own."""

    def change(meta: Any) -> None:
        meta.graph_def.node.add(name="elsewhere", op="Const").attr["dtype"].type = 7
        for node in meta.graph_def.node:
            if node.op == "RestoreV2":
                node.input[0] = "elsewhere"

    assert_refused(_edited(old, change), Unsafe, "RestoreV2 .*on another file")


def test_links_out_of_the_model(plain, tmp_path):
    """A weight file that is a link to elsewhere is not followed; one inside the model is."""
    data = next((plain / "variables").glob("*.data-*"))
    data.rename(plain / "variables" / "real")
    data.symlink_to("real")
    assert foldbn.inspect(plain).source.format == "savedmodel"
    data.unlink()
    (plain / "variables" / "real").rename(tmp_path / "outside")
    data.symlink_to(tmp_path / "outside")
    assert_refused(plain, Unsafe, "is a link out of the model")


def test_link_to_the_model(plain, tmp_path):
    """The model itself may be given by a link."""
    (tmp_path / "link").symlink_to(plain)
    assert foldbn.inspect(tmp_path / "link").source.format == "savedmodel"


def test_pipe_in_the_model(plain):
    """A pipe in place of a file would be waited for without end."""
    os.mkfifo(plain / "variables" / "pipe")
    assert_refused(plain, Unsafe, "is no regular file")


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

"""Each repair of an old graph, alone: what it changes, and what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldbn.frontends import loading, saved_model_repairs
from foldbn.frontends.freezing import Named
from foldbn.frontends.saved_model_repairs import REPAIRS, repaired
from foldbn.verification.reference import Evaluator
from tests.frontends.old_graphs import GRAPHS, OldGraph, save

_FLOAT, _BOOL = 1, 10


@pytest.fixture
def graph_def() -> Any:
    """Return an empty graph."""
    from tensorflow.core.framework import graph_pb2

    return graph_pb2.GraphDef()


def _placeholder(graph_def: Any, name: str, kind: int, op: str = "Placeholder", **more: Any) -> Any:
    node = graph_def.node.add(name=name, op=op, **more)
    node.attr["dtype"].type = kind
    return node


def test_forget_devices(graph_def):
    """Nodes of the graph and of its functions lose their device, and whom they stood beside."""
    inner = graph_def.library.function.add().node_def.add(name="inner", op="NoOp")
    for node in (graph_def.node.add(name="x", op="NoOp"), inner):
        node.device = "/device:GPU:0"
        node.attr["_class"].list.s.append(b"loc:@elsewhere")
    saved_model_repairs.forget_devices(graph_def, ())
    for node in (graph_def.node[0], graph_def.library.function[0].node_def[0]):
        assert not node.device
        assert "_class" not in node.attr


def test_forget_output_shapes(graph_def):
    """Noted shapes go from nodes and functions."""
    function = graph_def.library.function.add()
    parts = [graph_def.node.add(name="x", op="NoOp"), function, function.node_def.add(name="y")]
    for part in parts:
        part.attr["_output_shapes"].list.shape.add()
    saved_model_repairs.forget_output_shapes(graph_def, ())
    assert not any("_output_shapes" in part.attr for part in parts)


def test_take_defaults(graph_def):
    """A placeholder with a default is its default, unless the signature feeds it."""
    for name in ("fed", "loose"):
        _placeholder(graph_def, name, _FLOAT, "PlaceholderWithDefault", input=["number"])
    saved_model_repairs.take_defaults(graph_def, {"fed"})
    assert [node.op for node in graph_def.node] == ["PlaceholderWithDefault", "Identity"]
    assert graph_def.node[1].attr["T"].type == _FLOAT
    assert list(graph_def.node[1].input) == ["number"]


def test_settle_learning_phase(graph_def):
    """A boolean that nobody feeds is False; one that is fed and other types stay."""
    for name, kind in (("fed", _BOOL), ("phase", _BOOL), ("rate", _FLOAT)):
        _placeholder(graph_def, name, kind)
    saved_model_repairs.settle_learning_phase(graph_def, {"fed"})
    kinds = {node.name: node.op for node in graph_def.node}
    assert kinds == {"fed": "Placeholder", "phase": "Const", "rate": "Placeholder"}
    phase = next(node for node in graph_def.node if node.name == "phase")
    assert list(phase.attr["value"].tensor.bool_val) in ([False], [])


def test_every_repair_has_a_test():
    """The table holds no repair that is not looked at here."""
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {repair.__name__ for repair in REPAIRS} <= tested


def test_only_what_is_needed(graph_def):
    """What no output needs is not imported, and the original graph stays as it was."""
    _placeholder(graph_def, "x", _FLOAT)
    for name, source in (("y", "x"), ("loss", "y")):
        node = graph_def.node.add(name=name, op="Identity", input=[source])
        node.attr["T"].type = _FLOAT
    before = graph_def.SerializeToString(deterministic=True)
    part, (fed,) = repaired(graph_def, [Named("in", "x:0", _FLOAT)], [Named("out", "y:0", _FLOAT)])
    assert {node.name for node in part.node} == {"x", "y"}
    assert fed.tensor == "x:0"
    assert graph_def.SerializeToString(deterministic=True) == before


def _stale(path: Path) -> None:
    """Note a shape for each node that is not inferred again."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    graph_def = proto.meta_graphs[0].graph_def
    for node in graph_def.node:
        node.device = "/job:ps/task:3/device:GPU:7"
        if node.op == "MatMul":
            noted = node.attr["_output_shapes"].list
            del noted.shape[:]
            noted.shape.add().dim.add(size=17)
    file.write_bytes(proto.SerializeToString())


def test_stale_notes(tmp_path):
    """A graph pinned to devices that are not here, with wrong shapes, loads and computes."""
    saved = save(GRAPHS["dense"], tmp_path / "m")
    _stale(saved.path)
    found = Evaluator(loading.load(saved.path).original)(saved.samples)
    np.testing.assert_allclose(found["scores"], saved.outputs["scores"], rtol=1e-5, atol=1e-5)


def test_slots_of_an_optimizer(tmp_path):
    """An optimizer that cannot be revived does not matter: objects are not loaded."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    module = tf.Module()
    module.w, module.slot = tf.Variable(tf.eye(3)), tf.Variable(tf.eye(3))
    call = tf.function(lambda x: {"y": x @ module.w}, input_signature=[tf.TensorSpec((None, 3))])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serving_default": call})
    file = tmp_path / "m" / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    objects = proto.meta_graphs[0].object_graph_def.nodes
    own, slot = (place for place, each in enumerate(objects) if each.HasField("variable"))
    objects[0].slot_variables.add(
        original_variable_node_id=own, slot_variable_node_id=slot, slot_name="m"
    )
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(AttributeError, match="add_slot"):
        tf.saved_model.load(str(tmp_path / "m"))
    assert loading.load(tmp_path / "m").original.outputs[0].name == "y"


def test_phase_in_a_signature(tmp_path):
    """A learning phase that the signature feeds is an input, and one without a batch axis."""
    from foldbn.errors import Unsupported

    def build(v1: Any, get: Any) -> Any:
        x = v1.placeholder("float32", [None, 3], name="x")
        phase = v1.placeholder("bool", [], name="training")
        y = v1.cond(phase, lambda: x, lambda: v1.matmul(x, get("w", [3, 3])))
        return {"x": x, "training": phase}, {"y": y}, {}

    samples = {"x": np.ones((1, 3), np.float32), "training": np.asarray(a=False)}
    saved = save(OldGraph(build, samples, ()), tmp_path / "m")
    with pytest.raises(Unsupported, match="'training' has no batch axis"):
        loading.load(saved.path)

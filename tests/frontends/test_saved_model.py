"""SavedModels of every TensorFlow: what they compute, and their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.frontends import loading
from foldbn.verification.reference import Evaluator
from tests import journeys
from tests.conftest import FOREIGN
from tests.frontends.old_graphs import GRAPHS, OldGraph, Saved, norm, save

LEGACY = sorted(path.relative_to(FOREIGN) for path in FOREIGN.glob("legacy/*/*.savedmodel"))
REAL = sorted(path.relative_to(FOREIGN) for path in FOREIGN.glob("real/*savedmodel"))


def _close(found: np.ndarray, wanted: np.ndarray) -> None:
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("model", LEGACY or [None], ids=str)
def test_what_its_own_framework_computed(foreign_models, model):
    """The outputs are those that the framework which wrote the file returned."""
    path = foreign_models / model
    stem = str(path).removesuffix(".savedmodel")
    with np.load(f"{stem}.in.npz") as inputs, np.load(f"{stem}.out.npz") as outputs:
        frozen = loading.load(path).original
        samples = {p.name: inputs[f"x{n}"] for n, p in enumerate(frozen.inputs)}
        found = Evaluator(frozen)(samples)
        assert len(found) == len(outputs.files)
        for port, name in zip(frozen.outputs, sorted(outputs.files), strict=True):
            _close(found[port.name], outputs[name])


@pytest.mark.parametrize("model", [*LEGACY, *REAL] or [None], ids=str)
def test_its_normalizations_are_found(foreign_models, model):
    """Every BatchNormalization has its layer's name, and what is folded is proven."""
    journey = journeys.of_file(foreign_models / model)
    found = [d for d in journey.folding.decisions if d.kind == "BatchNormalization"]
    assert found
    assert all("batch_normalization" in d.layer or d.layer == "shared_bn" for d in found)
    assert any(decision.outcome == "folded" for decision in found)
    assert journey.max_rel() < 1e-9


@pytest.mark.parametrize("model", REAL or [None], ids=str)
def test_real_models(foreign_models, tmp_path, model):
    """A published SavedModel goes all the way to ONNX and TFLite."""
    result = foldbn.convert(foreign_models / model, output_dir=tmp_path, bench=False)
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]
    assert result.summary.folded == result.summary.affine_layers > 1


@pytest.fixture(scope="module", params=[False, True], ids=["references", "resources"])
def resources(request) -> bool:
    """Whether variables are resources."""
    return bool(request.param)


@pytest.fixture(scope="module", params=GRAPHS)
def old(request, resources, tmp_path_factory) -> tuple[OldGraph, Saved]:
    """Return a graph of TensorFlow 1 and its SavedModel."""
    graph = GRAPHS[request.param]
    return graph, save(graph, tmp_path_factory.mktemp("old") / "model", resources=resources)


def test_old_graph(old):
    """It computes what its own session did, under its names, and its normalizations are folded."""
    graph, saved = old
    journey = journeys.of_file(saved.path)
    found = Evaluator(journey.loaded.original)(saved.samples)
    assert set(found) == set(saved.outputs)
    for name, wanted in saved.outputs.items():
        _close(found[name], wanted)
    folded = {d.layer for d in journey.folding.decisions if d.kind == "BatchNormalization"}
    assert folded == set(graph.folded)
    assert all(journey.outcomes[layer] == "folded" for layer in graph.folded)
    assert journey.max_rel() < 1e-9
    kinds = {node.op for node in journey.loaded.original.graph_def.node}
    assert not kinds & {"VariableV2", "VarHandleOp", "Enter", "TensorArrayV3"}


@pytest.mark.parametrize("name", ["dense", "conv", "trained"])
def test_old_graph_is_converted(tmp_path, name):
    """It goes all the way, and plain ONNX keeps the names of its signature."""
    import onnx

    saved = save(GRAPHS[name], tmp_path / "old")
    result = foldbn.convert(saved.path, output_dir=tmp_path, bench=False, require_fold=True)
    assert all(artifact.verification.passed for artifact in result.artifacts)
    graph = onnx.load(tmp_path / "old.onnx").graph
    assert [port.name for port in graph.input] == list(saved.samples)
    assert [port.name for port in graph.output] == list(saved.outputs)


def test_branches_are_gone(tmp_path):
    """Of both ways to normalize, that of the training is in the graph no more."""
    saved = save(GRAPHS["conv"], tmp_path / "old")
    loaded = loading.load(saved.path)
    assert not {n.op for n in loaded.simplified.graph_def.node} & {"Switch", "Merge", "Mean"}


def test_condition_on_data(tmp_path):
    """A conditional of TensorFlow 1 on each sample's data stays, and the model is converted."""

    def build(v1: Any, get: Any) -> Any:
        x = v1.placeholder("float32", [1, 3], name="x")
        asked = v1.reduce_sum(x) > 0
        y = v1.cond(asked, lambda: v1.matmul(x, get("w", [3, 3])), lambda: x * v1.constant(2.0))
        no = v1.constant(False)  # noqa: FBT003 - the value
        return {"x": x}, {"y": norm(v1, get, v1.matmul(y, get("k", [3, 4])), no, "bn")}, {}

    x = np.asarray([[1, -2, 3]], np.float32)
    saved = save(OldGraph(build, {"x": x}, ()), tmp_path / "m")
    for sign in (1, -1):
        found = Evaluator(loading.load(saved.path).original)({"x": sign * x})["y"]
        assert sign < 0 or np.allclose(found, saved.outputs["y"], rtol=1e-5, atol=1e-5)
    result = foldbn.convert(saved.path, output_dir=tmp_path, to=("savedmodel",), bench=False)
    assert result.artifacts[0].verification.passed
    assert result.summary.folded == 1


def test_several_graphs(tmp_path):
    """Of several graphs in one SavedModel the one to be served is taken."""
    import tensorflow as tf

    v1 = tf.compat.v1
    builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "two"))
    for number, tags in enumerate((["train"], ["serve"])):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder("float32", [None, 3], name="x")
            w = v1.get_variable("w", [3, 2], initializer=v1.ones_initializer())
            y = v1.matmul(x, w) + float(number)
            session.run(v1.global_variables_initializer())
            signature = {
                "serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            }
            if number:
                builder.add_meta_graph(tags, signature)
            else:
                builder.add_meta_graph_and_variables(session, tags, signature)
    builder.save()
    frozen = loading.load(tmp_path / "two").original
    found = Evaluator(frozen)({"x": np.ones((2, 3), np.float32)})["y"]
    np.testing.assert_allclose(found, np.full((2, 2), 4.0))


def test_text_format(tmp_path):
    """A graph that was written as text is read as well."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    saved = save(GRAPHS["dense"], tmp_path / "old")
    binary = saved.path / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
    (saved.path / "saved_model.pbtxt").write_text(text_format.MessageToString(proto))
    binary.unlink()
    found = Evaluator(loading.load(saved.path).original)(saved.samples)
    _close(found["scores"], saved.outputs["scores"])

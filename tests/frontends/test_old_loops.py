"""Loops of TensorFlow 1 become While nodes that compute the same and can be exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import Unsupported
from foldbn.frontends import loading
from foldbn.verification.reference import Evaluator, in_float64
from tests.frontends.old_graphs import GRAPHS, OldGraph, save


def _load(build: Any, samples: dict[str, np.ndarray], path: Any) -> tuple[Any, Any]:
    saved = save(OldGraph(build, samples, ()), path / "m")
    return saved, loading.load(saved.path)


def test_one_while(tmp_path):
    """A loop is one node, with a function for its condition and one for its body."""
    saved = save(GRAPHS["loop"], tmp_path / "m")
    graph_def = loading.load(saved.path).original.graph_def
    assert [node.op for node in graph_def.node].count("While") == 1
    assert len(graph_def.library.function) == 2


def test_lists(tmp_path):
    """TensorArrays become lists that know the shape of their elements."""
    saved = save(GRAPHS["recurrent"], tmp_path / "m")
    loaded = loading.load(saved.path)
    nodes = {node.op: node for node in loaded.original.graph_def.node}
    assert {"TensorListFromTensor", "TensorListReserve", "TensorListStack"} <= set(nodes)
    steps = next(port for port in loaded.simplified.outputs if port.name == "steps")
    assert loaded.shapes[steps.node] == (None, 6, 4)


def test_in_float64(tmp_path):
    """The loop computes in float64 as well, closer to the truth than in float32."""
    saved = save(GRAPHS["recurrent"], tmp_path / "m")
    exact = in_float64(loading.load(saved.path).original)(saved.samples)
    for name, single in saved.outputs.items():
        assert exact[name].dtype == np.float64
        np.testing.assert_allclose(exact[name], single, rtol=1e-4, atol=1e-4)
        assert (exact[name] != single).any()


def test_converted(tmp_path):
    """A recurrent network of TensorFlow 1 goes to both formats, its normalization folded."""
    saved = save(GRAPHS["recurrent"], tmp_path / "m")
    result = foldbn.convert(saved.path, output_dir=tmp_path, bench=False)
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]
    assert result.summary.folded == 1


def test_shape_that_grows(tmp_path):
    """A variable whose shape changes in the loop has no fixed shape in it."""

    def build(v1: Any, _get: Any) -> Any:
        x = v1.placeholder("float32", [None, 3], name="x")
        shapes = (v1.TensorShape([]), v1.TensorShape([None, None]))
        _, y = v1.while_loop(
            lambda i, _: i < 2,
            lambda i, y: (i + 1, v1.concat([y, y], 1)),
            (0, x),
            shape_invariants=shapes,
        )
        y = v1.reshape(y, [-1, 12])
        return {"x": x}, {"y": y}, {}

    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    saved, loaded = _load(build, {"x": x}, tmp_path)
    (loop,) = (node for node in loaded.original.graph_def.node if node.op == "While")
    shapes = [[d.size for d in shape.dim] for shape in loop.attr["output_shapes"].list.shape]
    assert [-1, -1] in shapes
    assert [-1, 3] not in shapes
    found = Evaluator(loaded.original)({"x": x})["y"]
    np.testing.assert_array_equal(found, saved.outputs["y"])


def test_loops_of_one_name(tmp_path):
    """Loops of two models that are called the same go through one process."""
    for name in ("loop", "nested"):
        saved = save(GRAPHS[name], tmp_path / name)
        options = {"output_dir": tmp_path / "out", "to": ("savedmodel",), "bench": False}
        assert foldbn.convert(saved.path, **options).artifacts[0].verification.passed


def test_two_loops_share_nothing(tmp_path):
    """Two loops, one behind the other, are two nodes."""

    def build(v1: Any, get: Any) -> Any:
        x = v1.placeholder("float32", [None, 3], name="x")
        kernel, y = get("k", [3, 3]), x
        for rounds in (2, 3):
            _, y = v1.while_loop(
                lambda i, _, n=rounds: i < n,
                lambda i, y: (i + 1, v1.tanh(v1.matmul(y, kernel))),
                (0, y),
            )
        y.set_shape([None, 3])
        return {"x": x}, {"y": y}, {}

    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    saved, loaded = _load(build, {"x": x}, tmp_path)
    assert [node.op for node in loaded.original.graph_def.node].count("While") == 2
    found = Evaluator(loaded.original)({"x": x})["y"]
    np.testing.assert_allclose(found, saved.outputs["y"], rtol=1e-6, atol=1e-6)


def test_array_that_has_no_like(tmp_path):
    """What lists cannot do is refused by the op's name, with a way out."""

    def build(v1: Any, _get: Any) -> Any:
        x = v1.placeholder("float32", [None, 3], name="x")
        array = v1.TensorArray("float32", 2, infer_shape=False).split(x, [1, 1])
        return {"x": x}, {"y": array.concat()}, {}

    saved = save(OldGraph(build, {"x": np.ones((2, 3), np.float32)}, ()), tmp_path / "m")
    with pytest.raises(Unsupported, match=r"TensorArray(Split|Concat)V3") as caught:
        loading.load(saved.path)
    assert "enable_control_flow_v2" in caught.value.hint


def _first_half(v1: Any, size: Any) -> Any:
    """Fill an array of six elements, and gather three of them."""
    array = v1.TensorArray("float32", size, element_shape=[])
    full = v1.while_loop(lambda i, _: i < 6, lambda i, a: (i + 1, a.write(i, 1.5)), (0, array))[1]
    return v1.reduce_sum(full.gather(v1.range(3)))


def test_some_elements(tmp_path):
    """A list is taken whole: what gathers less of an array is refused."""

    def build(v1: Any, _get: Any) -> Any:
        x = v1.placeholder("float32", [None, 3], name="x")
        return {"x": x}, {"y": x + _first_half(v1, 6)}, {}

    saved = save(OldGraph(build, {"x": np.ones((2, 3), np.float32)}, ()), tmp_path / "m")
    with pytest.raises(Unsupported, match=r"TensorArrayGatherV3.* takes some elements of a Tensor"):
        loading.load(saved.path)


def test_some_elements_of_a_size_that_only_running_tells(tmp_path):
    """Where the graph does not tell how long an array is, what comes out of it does."""

    def build(v1: Any, _get: Any) -> Any:
        x = v1.placeholder("float32", [None, 6], name="x")
        return {"x": x}, {"y": x + _first_half(v1, v1.shape(x)[1])}, {}

    saved = save(OldGraph(build, {"x": np.ones((2, 6), np.float32)}, ()), tmp_path / "m")
    with pytest.raises(Unsupported, match=r"before 'y' cannot be written .*: the outputs differ"):
        loading.load(saved.path)

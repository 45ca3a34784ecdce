"""Signatures of SavedModels, their ports, and what cannot be taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldbn.errors import Unreadable, Unsupported, UsageError
from foldbn.frontends import loading
from tests.frontends.old_graphs import GRAPHS, OldGraph, save


def _save(path: Path, *specs: Any, call: Any, signatures: tuple[str, ...] = ("serving_default",)):
    """Save a function as a SavedModel of version 2."""
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(np.eye(3, dtype=np.float32), name="kernel")
    function = tf.function(lambda *given: call(tf, module, *given), input_signature=specs)
    module.call = function
    tf.saved_model.save(module, str(path), signatures=dict.fromkeys(signatures, function))
    return path


def _spec(*arguments: Any, **options: Any) -> Any:
    import tensorflow as tf

    return tf.TensorSpec(*arguments, **options)


def _product(tf: Any, module: Any, x: Any) -> Any:
    return {"y": tf.matmul(x, module.kernel)}


def test_no_signature(tmp_path):
    """A SavedModel without signatures says how to save one with them."""
    path = _save(tmp_path / "m", _spec((None, 3)), call=_product, signatures=())
    with pytest.raises(Unsupported, match="has no signatures") as caught:
        loading.load(path)
    assert "signatures=" in caught.value.hint


def test_signatures(tmp_path):
    """Several signatures are listed, one is chosen by name, and a wrong name is told."""
    path = _save(tmp_path / "m", _spec((None, 3)), call=_product, signatures=("b", "a"))
    with pytest.raises(Unsupported, match="there are several signatures: 'a', 'b'") as caught:
        loading.load(path)
    assert caught.value.hint == "choose with --signature"
    assert loading.load(path, "b").original.signature == "b"
    with pytest.raises(UsageError, match="there is no signature 'c'; there are 'a', 'b'"):
        loading.load(path, "c")
    only = _save(tmp_path / "n", _spec((None, 3)), call=_product, signatures=("lone",))
    assert loading.load(only).original.signature == "lone"


def _length(tf: Any, _: Any, x: Any) -> Any:
    return {"y": tf.cast(tf.strings.length(x), tf.float32)}


def _doubled(_tf: Any, _: Any, x: Any) -> Any:
    return {"y": x * 2.0}


def _row_sums(tf: Any, _: Any, x: Any) -> Any:
    return {"y": tf.reduce_sum(x, axis=1)}


def _nothing(_tf: Any, _: Any, x: Any) -> Any:
    return {"y": x[:, :0]}


def _densified(tf: Any, _: Any, x: Any) -> Any:
    return {"y": tf.sparse.to_dense(x)}


def _rows(_tf: Any, _: Any, x: Any) -> Any:
    return {"y": x.to_tensor() * 2.0}


UNSUPPORTED = {
    "strings": (
        lambda: _spec((None,), "string", name="x"),
        _length,
        "input 'x' is a string tensor",
    ),
    "no rank": (lambda: _spec(None, name="x"), _doubled, "'x' has no known rank"),
    "no batch": (lambda: _spec((), name="x"), _doubled, "'x' has no batch axis"),
    "input of length 0": (
        lambda: _spec((None, 3, 0), name="x"),
        _row_sums,
        r"'x' holds no numbers: its shape is \(batch, 3, 0\)",
    ),
    "output of length 0": (
        lambda: _spec((None, 3), name="x"),
        _nothing,
        r"'y' holds no numbers: its shape is \(batch, 0\)",
    ),
    "batch of 0": (lambda: _spec((0, 3), name="x"), _doubled, "'x' holds no numbers"),
    "sparse": (
        lambda: __import__("tensorflow").SparseTensorSpec((None, 3)),
        _densified,
        "the input 'given_0' is a sparse tensor",
    ),
    "ragged": (
        lambda: __import__("tensorflow").RaggedTensorSpec((None, None)),
        _rows,
        "the input 'given_0' is a ragged tensor",
    ),
    "ragged without a ragged op": (
        lambda: __import__("tensorflow").RaggedTensorSpec((None, None)),
        _row_sums,
        "the input 'given_0' is a ragged tensor",
    ),
    "ragged inside": (
        lambda: _spec((None, 3), name="x"),
        lambda tf, _, x: {"y": tf.RaggedTensor.from_tensor(x).to_tensor()},
        "computes with ragged tensors: Ragged",
    ),
}


@pytest.mark.parametrize(("spec", "call", "words"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_ports_that_hold_no_dense_numbers(tmp_path, spec, call, words):
    """What is no dense tensor with a batch axis is refused by its name."""
    with pytest.raises(Unsupported, match=words) as caught:
        loading.load(_save(tmp_path / "m", spec(), call=call))
    assert caught.value.exit_code == 3


def test_other_signatures_are_listed(tmp_path):
    """Beside a signature that cannot be taken stand those that may be."""
    import tensorflow as tf

    names = ("serving_default", "second")
    path = _save(tmp_path / "m", tf.RaggedTensorSpec((None, None)), call=_rows, signatures=names)
    with pytest.raises(Unsupported, match="is a ragged tensor") as caught:
        loading.load(path)
    assert caught.value.hint.endswith("choose with --signature: there are 'second'")


def test_sparse_signature(tmp_path):
    """A signature of version 1 that feeds a sparse tensor is refused by the input's name."""
    import tensorflow as tf

    v1 = tf.compat.v1
    builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "m"))
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.sparse_placeholder("float32", [None, 3], name="x")
        y = v1.sparse_tensor_dense_matmul(x, v1.ones([3, 2]))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
    builder.save()
    with pytest.raises(Unsupported, match="the input 'x' is a sparse tensor"):
        loading.load(tmp_path / "m")


def test_unfed_placeholder(tmp_path):
    """A number that the signature does not feed is told, with what to do."""

    def build(v1: Any, get: Any) -> Any:
        x, rate = v1.placeholder("float32", [None, 3], name="x"), v1.placeholder("float32", [])
        return {"x": x}, {"y": v1.matmul(x, get("w", [3, 2])) * rate}, {rate: 1.0}

    saved = save(OldGraph(build, {"x": np.ones((1, 3), np.float32)}, ()), tmp_path / "m")
    with pytest.raises(Unsupported, match="the placeholder 'Placeholder', which is no input"):
        loading.load(saved.path)


def test_unsaved_variable(tmp_path):
    """A variable that is in no checkpoint has no value, and its name is told."""

    def build(v1: Any, get: Any) -> Any:
        x = v1.placeholder("float32", [None, 3], name="x")
        own = get("own", [3, 2], collections=[v1.GraphKeys.LOCAL_VARIABLES])
        v1.get_default_session().run(v1.local_variables_initializer())
        return {"x": x}, {"y": v1.matmul(x, own) + get("b", [2])}, {}

    saved = save(OldGraph(build, {"x": np.ones((1, 3), np.float32)}, ()), tmp_path / "m")
    with pytest.raises(Unsupported, match="the variable 'own' is in no checkpoint"):
        loading.load(saved.path)


def test_the_model_is_not_changed(tmp_path):
    """Repairs are made in memory: no file of the model is touched, none comes into its folder."""
    saved = save(GRAPHS["dense"], tmp_path / "m")

    def state() -> dict[str, tuple[int, bytes]]:
        files = [p for p in saved.path.rglob("*") if p.is_file()]
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}

    before = state()
    loading.load(saved.path)
    assert state() == before


def test_missing_graph(tmp_path):
    """A SavedModel whose graph is gone says so."""
    saved = save(GRAPHS["dense"], tmp_path / "m")
    (saved.path / "saved_model.pb").unlink()
    with pytest.raises(Unreadable, match="is a SavedModel whose graph is missing"):
        loading.load(saved.path)

"""Exporters get stand-ins for great weights; nothing of that may show in a file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foldbn import export
from foldbn.export.tflite_file import to_tflite
from foldbn.frontends import loading


@pytest.fixture(scope="module", params=["mlp_bn_after.h5", "cnn_bn_after.h5", "activations.h5"])
def plain(request, networks):
    """Return a network as it is exported unfolded."""
    return loading.load(networks / request.param).simplified


def _whole(model):
    """Return the same model with every weight in its graph: nothing is left to stand in for."""
    return replace(model, graph_def=model.whole(), values={})


def test_tflite_with_stand_ins(plain):
    """The file is the one that a conversion with the weights themselves makes, byte for byte."""
    assert to_tflite(plain) == to_tflite(_whole(plain))


def test_onnx_with_stand_ins(plain):
    """Node for node the graph is that of an export with the weights themselves."""
    light, heavy = (
        export.statistics_of(export.export(model, "onnx", None, export.DEFAULT_OPSET))
        for model in (plain, _whole(plain))
    )
    assert light.ops == heavy.ops
    assert light.params == heavy.params


def test_sketch(plain):
    """A sketch has the ops and the weights of the file, and its size within a thousandth."""
    sketch, file = (
        export.statistics_of(export.export(plain, "tflite", None, 18, sketch=sketch))
        for sketch in (True, False)
    )
    assert (sketch.ops, sketch.params) == (file.ops, file.params)
    assert sketch.bytes == pytest.approx(file.bytes, rel=1e-3)

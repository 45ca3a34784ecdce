"""What a user may demand of a conversion: every layer folded, a speed-up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import foldbn
from foldbn.errors import NotFolded, TooSlow
from foldbn.latencies import BenchmarkRow, Latency
from foldbn.pipeline.steps import require_speedup
from tests.convert.untimed import convert, names
from tests.journeys import randomise


def test_require_fold(tmp_path):
    """A layer that stays is an error for who requires all to go, and nothing is written."""
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4, 3)), layers.Activation("tanh"), layers.BatchNormalization(1, name="bn")]
    )
    path = tmp_path / "model.keras"
    randomise(model).save(path)
    with pytest.raises(NotFolded, match=r"1 of 1 affine layers stay.*'bn'") as caught:
        convert(path, tmp_path / "out", require_fold=True)
    assert caught.value.exit_code == 5
    assert names(tmp_path) == {"model.keras"}
    with pytest.raises(NotFolded):
        foldbn.inspect(path, require_fold=True)


def test_require_fold_is_met(two_ports, tmp_path):
    """Nobody complains where every layer folds."""
    assert convert(two_ports, tmp_path, to=("onnx",), require_fold=True).summary.kept == 0
    assert foldbn.inspect(two_ports, require_fold=True).summary.kept == 0


def test_inspect_and_convert_agree(two_ports, converted):
    """Inspection tells the decisions that conversion carries out."""
    inspection = foldbn.inspect(two_ports)
    assert inspection.decisions == converted.decisions
    assert inspection.summary == converted.summary
    assert inspection.source == converted.source


SIDE = 256


def _products(path: Path, count: int) -> Path:
    """Write an ONNX file of `count` matrix products in a row."""
    weights = [
        numpy_helper.from_array(np.eye(SIDE, dtype=np.float32), f"w{i}") for i in range(count)
    ]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(count)]
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, SIDE])
        for name in ("x0", f"x{count}")
    ]
    graph = helper.make_graph(nodes, "products", ports[:1], ports[1:], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(proto, path)
    return path


def test_min_speedup(tmp_path):
    """A file many times as slow is below any bar, and above it the other way round."""
    short, long = _products(tmp_path / "short.onnx", 1), _products(tmp_path / "long.onnx", 20)
    with pytest.raises(TooSlow, match=r"is below 0\.800") as caught:
        foldbn.bench([short, long], min_speedup=0.8)
    assert caught.value.exit_code == 1
    told = r"long\.onnx' at \S+ ms against \S+ ms, speedup 0\.\d+ \(0\.\d+ to 0\.\d+\) is below 0"
    assert re.search(told, caught.value.message)
    (row,) = foldbn.bench([long, short], min_speedup=2).benchmark
    assert row.verdict == "faster"
    assert row.speedup > 2


def test_all_that_was_measured_is_told(tmp_path):
    """Where one row misses the bar, the figures of the others are not lost."""
    short, long = _products(tmp_path / "short.onnx", 1), _products(tmp_path / "long.onnx", 20)
    with pytest.raises(TooSlow) as caught:
        foldbn.bench([short, long, short], min_speedup=0.5)
    slow, other = caught.value.message.split("; ")
    assert "long.onnx" in slow
    assert re.search(r"short\.onnx' at \S+ ms .* speedup \d+\.\d+ \(", other)
    assert "written" not in caught.value.hint


def _row(kind: str, verdict: Any, speedup: float) -> BenchmarkRow:
    """Return a row of a conversion, its interval a hundredth to both sides."""
    latency = Latency(p50=2.0, p95=2.0)
    interval = (speedup - 0.01, speedup + 0.01)
    return BenchmarkRow(
        format=kind,
        provider="here",
        threads=1,
        batch_size=1,
        copies=None,
        optimization=None,
        original="plain export",
        folded=f"out/model.{kind}",
        original_ms=latency,
        folded_ms=latency,
        speedup=speedup,
        speedup_ci95=interval,
        noise_ci95=(0.99, 1.01),
        verdict=verdict,
    )


def test_what_was_not_written_is_not_named():
    """All rows below the bar are told as such; no file, as none was written."""
    rows = [_row("onnx", "faster", 3), _row("tflite", "faster", 1.5), _row("tflite", "slower", 0.5)]
    with pytest.raises(TooSlow) as caught:
        require_speedup(rows, 2, written=False)
    low, lower, other = caught.value.message.split("; ")
    assert low.endswith("speedup 1.500 (1.490 to 1.510) is below 2.000")
    assert lower.endswith("speedup 0.500 (0.490 to 0.510) is below 2.000")
    assert other.endswith("speedup 3.000 (2.990 to 3.010)")
    assert "out/" not in caught.value.message
    assert "nothing was written" in caught.value.hint
    with pytest.raises(TooSlow, match=r"\(0\.990 to 1\.010\), which is inconclusive$"):
        require_speedup([_row("onnx", "inconclusive", 1), rows[1]], 2, written=False)


def test_min_speedup_of_a_conversion(two_ports, tmp_path):
    """A conversion that is too slow writes nothing, but an inconclusive one is not too slow."""
    failure = None
    try:
        result = foldbn.convert(two_ports, output_dir=tmp_path, to=("onnx",), min_speedup=1e6)
    except TooSlow as error:
        failure = error
    if failure is None:
        assert {row.verdict for row in result.benchmark} == {"inconclusive"}
        return
    assert names(tmp_path) == set()
    assert "nothing was written" in failure.hint
    assert str(tmp_path) not in failure.message

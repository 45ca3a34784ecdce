"""Real sessions on tiny models: rows. No timing is asserted."""

import gc
import math
import subprocess
import sys
from pathlib import Path

import pytest

import foldbn
from foldbn.benchmark import bench_files, bench_pair, measure_pair
from foldbn.benchmark.plan import Cost, plan_for
from foldbn.benchmark.timing import orders
from foldbn.errors import ProviderMissing
from tests.benchmark.tiny import CPU, QUICK, write_onnx, write_tflite


def run_python(program, *arguments):
    """Run a program in a fresh interpreter, and return what it printed on both streams."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=Path(foldbn.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


def assert_sane(row):
    """Check that a row's numbers are finite, positive and in order."""
    for latency in (row.original_ms, row.folded_ms):
        assert 0 < latency.p50 <= latency.p95 < 60_000
    for low, high in (row.speedup_ci95, row.noise_ci95):
        assert 0 < low <= high < math.inf
    assert row.speedup_ci95[0] <= row.speedup <= row.speedup_ci95[1]
    assert row.verdict in {"faster", "slower", "same", "inconclusive"}


def test_a_row_says_what_ran(tmp_path):
    """A pair of ONNX files gives a row with the provider, batch, threads and paths."""
    first, second = write_onnx(tmp_path / "a.onnx"), write_onnx(tmp_path / "b.onnx")
    row = measure_pair(first, second, batch_size=3, **QUICK)
    assert_sane(row)
    assert (row.format, row.provider, row.optimization) == ("onnx", CPU, "all")
    assert (row.threads, row.batch_size) == (1, 3)
    assert (row.original, row.folded) == (str(first), str(second))


def test_a_lone_file_is_its_own_reference(tmp_path):
    """A file against itself is never faster or slower, for its interval is the noise."""
    (row,) = bench_files([write_onnx(tmp_path / "a.onnx")])
    assert_sane(row)
    assert row.verdict in {"same", "inconclusive"}
    assert row.noise_ci95 == row.speedup_ci95
    assert row.original == row.folded


def test_formats_mix_and_suffixes_lie(tmp_path):
    """A TFLite file named .onnx runs in LiteRT beside an ONNX reference."""
    first = write_onnx(tmp_path / "a.onnx")
    second = write_tflite(tmp_path / "b.onnx")
    (row,) = bench_files([first, second], providers=["cpu"])
    assert_sane(row)
    assert (row.format, row.provider, row.optimization) == ("tflite", "LiteRT", None)


def test_bench_pair_has_a_row_for_each_provider(tmp_path):
    """An ONNX pair on one provider is one row, and a provider that is absent is refused."""
    path = write_onnx(tmp_path / "a.onnx")
    (row,) = bench_pair(path, path, format="onnx", providers=["CPU"])
    assert (row.provider, row.batch_size) == (CPU, 1)
    with pytest.raises(ProviderMissing):
        bench_pair(path, path, format="onnx", providers=["JsExecutionProvider"])


def test_a_spent_budget_is_inconclusive(tmp_path):
    """With no time for more than one pair there is a row, but no verdict."""
    path = write_onnx(tmp_path / "a.onnx")
    row = measure_pair(path, path, batch_size=1, **(QUICK | {"budget_s": 0.0}))
    assert_sane(row)
    assert row.verdict == "inconclusive"


def test_the_garbage_collector_is_back_on(tmp_path):
    """Timing leaves the collector as it was."""
    path = write_onnx(tmp_path / "a.onnx")
    measure_pair(path, path, batch_size=1, **(QUICK | {"budget_s": 0.0}))
    assert gc.isenabled()


def test_every_order_has_its_mirror_image():
    """Three arms take each of six orders once, in couples that cancel a linear drift."""
    listed = orders(3)
    assert len(set(listed)) == 6
    assert all(listed[i] == listed[i + 1][::-1] for i in (0, 2, 4))
    assert orders(2) == [(0, 1), (1, 0)]


def test_slow_models_get_fewer_calls():
    """The calls of a group shrink with the model until six groups fit into the budget."""
    tiny = plan_for(Cost(opening=0.01, call=0.0002), 12, 20.0)
    assert (tiny.rounds, tiny.calls > 50) == (12, True)
    for call, rounds in ((0.1, 6), (0.4, 4), (0.7, 2), (3.0, 1)):
        plan = plan_for(Cost(opening=0.3, call=call), 12, 20.0)
        assert (plan.rounds, plan.calls) == (rounds, 1)


def test_litert_does_not_talk(tmp_path):
    """A process whose first interpreter this is prints nothing about its delegate."""
    program = (
        "import sys, pathlib; from foldbn.benchmark.sessions import open_runner; "
        "open_runner(pathlib.Path(sys.argv[1]), 'tflite', "
        "provider=None, threads=1, batch_size=1, seed=0)"
    )
    assert run_python(program, str(write_tflite(tmp_path / "a.tflite"))) == ("", "")


def test_importing_bench_imports_no_runtime():
    """The package costs nothing until something is measured."""
    program = (
        "import sys, foldbn.benchmark; "
        "print(*{'onnxruntime', 'onnx', 'ai_edge_litert', 'tensorflow'} & set(sys.modules))"
    )
    assert run_python(program) == ("\n", "")

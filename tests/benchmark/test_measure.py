"""Real sessions on tiny models: rows, batches, refusals. No timing is asserted."""

import gc
import math
import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

import foldbn
from foldbn.benchmark import bench_files, bench_pair, format_of, measure_pair
from foldbn.benchmark.onnx_session import OnnxRunner, bind
from foldbn.benchmark.plan import Cost, plan_for
from foldbn.benchmark.sessions import open_runner
from foldbn.benchmark.timing import orders
from foldbn.errors import ProviderMissing, RuntimeFailed, Unreadable, Unsupported

CPU = "CPUExecutionProvider"
QUICK = {"provider": CPU, "threads": 1, "seed": 0, "pairs": 6, "budget_s": 5.0}


def write_onnx(path, shape=("N", 8), dtype=TensorProto.FLOAT, op="Relu"):
    """Write a model of one node."""
    x = helper.make_tensor_value_info("x", dtype, shape)
    y = helper.make_tensor_value_info("y", dtype, shape)
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "tiny", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def write_lookup(path, rows):
    """Write a model that takes int64 indices into a table of `rows` rows."""
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 3])
    table = numpy_helper.from_array(np.ones((rows, 3), np.float32), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    graph = helper.make_graph([node], "lookup", [x], [y], [table])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def write_tflite(path, batch=-1):
    """Write a TFLite model that adds its input to itself."""

    def tensor(name):
        made = schema.TensorT()
        made.name, made.type, made.buffer = name, schema.TensorType.FLOAT32, 0
        made.shape, made.shapeSignature = [abs(batch), 8], [batch, 8]
        return made

    code, node, graph, model = (
        schema.OperatorCodeT(),
        schema.OperatorT(),
        schema.SubGraphT(),
        schema.ModelT(),
    )
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    node.inputs, node.outputs = [0, 0], [1]
    node.builtinOptionsType = schema.BuiltinOptions.AddOptions
    node.builtinOptions = schema.AddOptionsT()
    graph.tensors, graph.operators = [tensor("x"), tensor("y")], [node]
    graph.inputs, graph.outputs = [0], [1]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def opened(path, kind="onnx", **changes):
    """Open a runner with this file's usual settings."""
    settings = {"provider": CPU, "threads": 1, "batch_size": None, "seed": 0} | changes
    return open_runner(path, kind, **settings)


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
        bench_pair(path, path, format="onnx", providers=["abacus"])


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


@pytest.mark.parametrize(
    ("shape", "wish", "batch"), [(("N", 8), 5, 5), (("N", 8), None, 1), ((4, 8), None, 4)]
)
def test_batch_of_an_onnx_model(tmp_path, shape, wish, batch):
    """An open batch takes the wish or 1; a fixed one stays."""
    runner = opened(write_onnx(tmp_path / "a.onnx", shape), batch_size=wish)
    assert runner.batch_size == batch
    assert runner._feeds["x"].shape == (batch, 8)
    runner.close()


@pytest.mark.parametrize(("batch", "wish", "expected"), [(-1, 5, 5), (1, 6, 6), (4, None, 4)])
def test_batch_of_a_tflite_model(tmp_path, batch, wish, expected):
    """LiteRT resizes open and fixed batches alike."""
    runner = opened(write_tflite(tmp_path / "a.tflite", batch), "tflite", batch_size=wish)
    assert runner.batch_size == expected
    output = runner._interpreter.get_tensor(runner._outputs[0])
    np.testing.assert_array_equal(output, 2 * runner._feeds[0][1])
    runner.close()


def test_a_fixed_batch_is_not_called_another(tmp_path):
    """A fixed ONNX batch refuses another size, and two models must agree on one."""
    four = write_onnx(tmp_path / "four.onnx", (4, 8))
    eight = write_onnx(tmp_path / "eight.onnx", (8, 8))
    with pytest.raises(Unsupported, match="'x' has a fixed batch of 4, not 2"):
        opened(four, batch_size=2)
    with pytest.raises(Unsupported, match="fixed batch of 4, the other of 8"):
        measure_pair(four, eight, batch_size=None, **QUICK)


def test_an_open_batch_follows_the_fixed_one(tmp_path):
    """Without a wish, the open model is called with the other's batch, on either side."""
    four = write_onnx(tmp_path / "four.onnx", (4, 8))
    dynamic = write_onnx(tmp_path / "dynamic.onnx")
    for pair in ((four, dynamic), (dynamic, four)):
        row = measure_pair(*pair, batch_size=None, **(QUICK | {"budget_s": 0.0}))
        assert row.batch_size == 4


def test_another_open_axis_is_refused(tmp_path):
    """An open axis that is not the batch is an error that names input and axis."""
    path = write_onnx(tmp_path / "a.onnx", ("N", "T", 8))
    with pytest.raises(Unsupported, match=r"'x' leaves axis 1 open: its shape is \[\?, \?, 8\]"):
        opened(path)


def test_strings_are_refused(tmp_path):
    """Text inputs cannot be made up."""
    path = write_onnx(tmp_path / "a.onnx", ("N", 2), TensorProto.STRING, "Identity")
    with pytest.raises(Unsupported, match=r"tensor\(string\)"):
        opened(path)


def test_indices_fit_any_table_of_two_rows(tmp_path):
    """Whole-number inputs stay within a small table, and one too small is a clean failure."""
    opened(write_lookup(tmp_path / "two.onnx", 2)).close()
    with pytest.raises(RuntimeFailed, match=r"one\.onnx: onnxruntime says: ") as caught:
        opened(write_lookup(tmp_path / "one.onnx", 1), seed=1)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\x89HDF\r\n\x1a\n" + b"\0" * 64])
def test_foreign_files_are_unreadable(tmp_path, content):
    """A file of neither format is refused by its content."""
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="neither ONNX nor TFLite"):
        format_of(path)


def test_missing_files_and_directories_are_unreadable(tmp_path):
    """A path without a file behind it is refused with the system's reason."""
    with pytest.raises(Unreadable, match="No such file"):
        bench_files([tmp_path / "absent.onnx"])
    with pytest.raises(Unreadable, match="directory"):
        bench_files([tmp_path])


def test_damaged_files_name_the_runtime(tmp_path, capfd):
    """Each runtime's refusal is one line with the file's name, and nothing on stderr."""
    broken = write_onnx(tmp_path / "a.onnx", op="NoSuchOperator")
    torn = tmp_path / "b.tflite"
    torn.write_bytes(write_tflite(torn).read_bytes()[:40])
    for path, kind, runtime in ((broken, "onnx", "onnxruntime"), (torn, "tflite", "LiteRT")):
        with pytest.raises(RuntimeFailed, match=rf"{path.name}: {runtime} says: ") as caught:
            opened(path, kind)
        assert "\n" not in caught.value.message
    assert capfd.readouterr() == ("", "")


def test_a_session_does_not_fall_back(tmp_path):
    """Asking a runner for a provider that is absent is an error, not a CPU session."""
    path = write_onnx(tmp_path / "a.onnx")
    with pytest.raises(ProviderMissing):
        OnnxRunner(path, "NoSuchExecutionProvider", 1, 1, 0)


def test_bound_outputs_equal_those_of_a_plain_run(tmp_path):
    """The IO binding of a GPU, made on the CPU, computes what a plain run computes."""
    path = write_onnx(tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=[CPU])
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)}
    binding = bind(session, feeds, "cpu")
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    np.testing.assert_array_equal(binding.get_outputs()[0].numpy(), session.run(None, feeds)[0])


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

"""Real sessions on tiny models: batches, refusals."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from foldbn.benchmark import bench_files, format_of, measure_pair
from foldbn.benchmark.onnx_session import OnnxRunner, bind
from foldbn.errors import ProviderMissing, RuntimeFailed, Unreadable, Unsupported
from tests.benchmark.tiny import CPU, QUICK, opened, write_lookup, write_onnx, write_tflite


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


def test_open_lengths_are_32_unless_they_are_known(tmp_path):
    """Each axis that a file leaves open gets the length that is given for it, or 32."""
    path = write_onnx(tmp_path / "a.onnx", ("N", "T", 8, "U"))
    for lengths, shape in (
        (None, (2, 32, 8, 32)),
        ({"x": (9, 5, 9, None)}, (2, 5, 8, 32)),
        ({"x": (9, 5)}, (2, 32, 8, 32)),  # of another input that has the same name
        ({"y": (9, 5, 9, 7)}, (2, 32, 8, 32)),
    ):
        runner = opened(path, batch_size=2, lengths=lengths)
        assert runner._feeds["x"].shape == shape
        runner.close()


@pytest.mark.parametrize("batch", [-1, 1])
def test_litert_resizes_open_lengths(tmp_path, batch):
    """A TFLite file without a signature is called with tensors of the lengths that are given."""
    path = write_tflite(tmp_path / "a.tflite", batch, length=-1)
    runner = opened(path, "tflite", lengths={"x": (1, 5)})
    output = runner._interpreter.get_tensor(runner._outputs[0])
    assert output.shape == (1, 5)
    np.testing.assert_array_equal(output, 2 * runner._feeds[0][1])
    runner.close()


def test_open_lengths_follow_the_fixed_ones(tmp_path):
    """Two files are timed on the same lengths: those that one has fixed, on either side."""
    fixed = write_onnx(tmp_path / "fixed.onnx", ("N", 5))
    loose = write_tflite(tmp_path / "loose.tflite", length=-1)
    # Names of other tools: what has no namesake is paired in order.
    other = write_onnx(tmp_path / "other.onnx", ("N", "T"), name="input_1")
    quick = QUICK | {"budget_s": 0.0}
    for pair, name in (
        ((fixed, loose), "x"),
        ((loose, fixed), "x"),
        ((fixed, other), "input_1"),
        ((other, fixed), "x"),
    ):
        row = measure_pair(*pair, batch_size=3, lengths={"x": (1, 7)}, **quick)
        assert row.shapes == {name: (3, 5)}
    assert measure_pair(fixed, fixed, batch_size=3, **quick).shapes is None


def test_shapes_are_those_that_were_run(tmp_path):
    """An axis that one input has fixed stays, whatever the batch; a model may have no inputs."""
    ports = {name: [first, "T", 3] for name, first in (("a", 1), ("b", "N"))}
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ports.items()]
    total = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "T", 3])
    one = numpy_helper.from_array(np.ones((1, 1, 3), np.float32), "y")
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    bodies = {"two": (nodes, infos, []), "none": ([], [], [one])}
    opset = [helper.make_opsetid("", 17)]
    for name, (body, inputs, constants) in bodies.items():
        graph = helper.make_graph(body, name, inputs, [total], constants)
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.save(model, str(tmp_path / f"{name}.onnx"))
    quick = QUICK | {"budget_s": 0.0}
    two, none = tmp_path / "two.onnx", tmp_path / "none.onnx"
    assert measure_pair(two, two, batch_size=4, **quick).shapes == {
        "a": (1, 32, 3),
        "b": (4, 32, 3),
    }
    assert measure_pair(two, none, batch_size=None, **quick).shapes == {}


def test_a_length_that_a_model_does_not_take(tmp_path):
    """What fails on a length that nobody fixed is not called damaged, and the length is told."""
    cut = write_onnx(tmp_path / "cut.onnx", ("N", "T"), op="Add", constant=5)
    with pytest.raises(RuntimeFailed, match=r"cut\.onnx does not run on .*'x' \[1, 32\]") as caught:
        opened(cut)
    assert "damaged" not in caught.value.hint
    assert "--no-bench" not in caught.value.hint
    opened(cut, lengths={"x": (1, 5)}).close()


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

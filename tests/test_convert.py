"""Conversion, from a model file to the artefacts under their final names."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import foldbn
from foldbn import verification
from foldbn.errors import (
    BadSamples,
    ConversionFailed,
    NotFolded,
    OutputExists,
    OutputIsInput,
    TooSlow,
    VerificationFailed,
    WriteFailed,
)
from foldbn.frontends import loading
from tests.journeys import randomise


def convert(model: Path, folder: Path, **options: Any) -> foldbn.Conversion:
    """Convert without timing, into `folder`."""
    return foldbn.convert(model, output_dir=folder, bench=False, **options)


@pytest.fixture(scope="module")
def two_ports(tmp_path_factory) -> Path:
    """Return a model with inputs ``left`` and ``right`` and outputs ``sum`` and ``kind``."""
    import keras

    left, right = keras.Input((3,), name="left"), keras.Input((4,), name="right")
    layers = keras.layers
    normed = [
        layers.BatchNormalization(name=f"bn_{name}")(layers.Dense(4, name=name)(tensor))
        for name, tensor in (("one", left), ("two", right))
    ]
    total = layers.Add(name="sum")(normed)
    kind = layers.Dense(2, activation="softmax", name="kind")(total)
    path = tmp_path_factory.mktemp("models") / "two_ports.keras"
    randomise(keras.Model([left, right], [total, kind])).save(path)
    return path


@pytest.fixture(scope="module")
def converted(two_ports, tmp_path_factory) -> foldbn.Conversion:
    """Return the conversion of `two_ports` with all options at their defaults but timing."""
    return convert(two_ports, tmp_path_factory.mktemp("converted"))


def _ending_in(operation: str, folder: Path) -> Path:
    """Return a model whose last op is one of ``keras.ops``."""
    import keras

    tensor = keras.Input((4,), name="x")
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(3)(tensor))
    path = folder / f"{operation}.keras"
    keras.Model(tensor, getattr(keras.ops, operation)(hidden)).save(path)
    return path


@pytest.fixture(scope="module")
def wrong_in_onnx(tmp_path_factory) -> Path:
    """Return a model that TFLite computes rightly and tf2onnx does not: sin(x) / x at zero."""
    return _ending_in("sinc", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def not_in_onnx(tmp_path_factory) -> Path:
    """Return a model with an op that the exporters do not know."""
    return _ending_in("i0", tmp_path_factory.mktemp("models"))


def _onnx(result: foldbn.Conversion) -> onnx.ModelProto:
    (path,) = (one.path for one in result.artifacts if one.format == "onnx")
    return onnx.load(path)


def _interpreter(result: foldbn.Conversion) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    (path,) = (one.path for one in result.artifacts if one.format == "tflite")
    return Interpreter(model_path=path)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_artifacts(converted, two_ports):
    """Both files are there under the model's stem, as large and with the hash that is told."""
    assert [artifact.format for artifact in converted.artifacts] == ["onnx", "tflite"]
    for artifact in converted.artifacts:
        path = Path(artifact.path)
        assert path.name == f"two_ports.{artifact.format}"
        content = path.read_bytes()
        assert artifact.bytes == artifact.size.after == len(content)
        assert artifact.sha256 == hashlib.sha256(content).hexdigest()
        assert artifact.nodes.after == sum(artifact.ops.values())
        assert artifact.params.after <= artifact.params.before
        assert artifact.verification.passed
    assert _names(Path(converted.artifacts[0].path).parent) == {
        "two_ports.onnx",
        "two_ports.tflite",
    }
    assert converted.source.path == str(two_ports)
    assert converted.artifacts[0].nodes.before > converted.artifacts[0].nodes.after
    assert converted.benchmark == ()
    assert set(converted.timings_s) == {"load", "fold", "verify", "export"}


def test_names_in_onnx(converted):
    """ONNX inputs and outputs are called what the model calls them."""
    graph = _onnx(converted).graph
    assert [value.name for value in graph.input] == ["left", "right"]
    assert [value.name for value in graph.output] == ["sum", "kind"]


def test_names_in_tflite(converted):
    """TFLite has one signature, with the model's own names."""
    signatures = _interpreter(converted).get_signature_list()
    assert list(signatures) == ["serving_default"]
    assert sorted(signatures["serving_default"]["inputs"]) == ["left", "right"]
    assert sorted(signatures["serving_default"]["outputs"]) == ["kind", "sum"]


def test_onnx_is_valid(converted):
    """The checker accepts the file, and its opset is the default one."""
    proto = _onnx(converted)
    onnx.checker.check_model(proto, full_check=True)
    assert {each.domain: each.version for each in proto.opset_import}[""] == 18


def test_onnx_metadata(converted, two_ports):
    """The file says which model and foldbn it comes from, and nothing of place or time."""
    proto = _onnx(converted)
    properties = {each.key: each.value for each in proto.metadata_props}
    assert properties == {
        "foldbn.version": foldbn.__version__,
        "foldbn.source_sha256": hashlib.sha256(two_ports.read_bytes()).hexdigest(),
        "foldbn.affine_layers": "2",
        "foldbn.folded": "2",
        "foldbn.merged": "0",
        "foldbn.lowered": "0",
        "foldbn.kept": "0",
    }
    content = proto.SerializeToString()
    assert str(two_ports.parent).encode() not in content
    assert os.fsencode(Path.home()) not in content
    assert (proto.producer_name, proto.producer_version) == ("foldbn", foldbn.__version__)


def _onnx_batch(result: foldbn.Conversion) -> set[int | str]:
    graph = _onnx(result).graph
    dims = [v.type.tensor_type.shape.dim[0] for v in (*graph.input, *graph.output)]
    return {dim.dim_param or dim.dim_value for dim in dims}


def _tflite_batch(result: foldbn.Conversion) -> set[int]:
    details = _interpreter(result).get_input_details()
    return {int(detail["shape_signature"][0]) for detail in details}


def test_default_batch_size(converted):
    """The batch axis is dynamic in ONNX and 1 in TFLite."""
    assert _onnx_batch(converted) == {"batch"}
    assert _tflite_batch(converted) == {1}


@pytest.mark.parametrize(
    ("size", "in_onnx", "in_tflite"), [(4, 4, 4), ("dynamic", "batch", -1)], ids=["4", "dynamic"]
)
def test_batch_size(two_ports, tmp_path, size, in_onnx, in_tflite):
    """A batch size holds for both formats."""
    result = convert(two_ports, tmp_path, batch_size=size)
    assert _onnx_batch(result) == {in_onnx}
    assert _tflite_batch(result) == {in_tflite}
    assert all(artifact.verification.passed for artifact in result.artifacts)


@pytest.mark.parametrize("opset", [13, 15, 17])
def test_opset(two_ports, tmp_path, opset):
    """The opset asked for is the one that is written."""
    proto = _onnx(convert(two_ports, tmp_path, to=("onnx",), opset=opset))
    assert {each.domain: each.version for each in proto.opset_import}[""] == opset


def test_one_format(two_ports, tmp_path):
    """Only the format asked for is written, once."""
    result = convert(two_ports, tmp_path, to=("tflite", "tflite"))
    assert [artifact.format for artifact in result.artifacts] == ["tflite"]
    assert _names(tmp_path) == {"two_ports.tflite"}


def test_beside_the_model(two_ports, tmp_path):
    """Without a folder the artefacts go beside the model."""
    model = tmp_path / "model.v1.keras"
    model.write_bytes(two_ports.read_bytes())
    foldbn.convert(model, bench=False)
    assert _names(tmp_path) == {"model.v1.keras", "model.v1.onnx", "model.v1.tflite"}
    assert model.read_bytes() == two_ports.read_bytes()


def test_saved_model(networks, tmp_path):
    """The artefacts of a SavedModel have the name of its folder."""
    convert(networks / "mlp_bn_after_savedmodel", tmp_path, to=("onnx",))
    assert _names(tmp_path) == {"mlp_bn_after_savedmodel.onnx"}


def test_same_bytes_in_every_process(networks, tmp_path):
    """Two processes write the same bytes for the same model."""
    contents = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        command = [sys.executable, "-m", "foldbn", "convert", "--no-bench", "-q", "-o", folder]
        subprocess.run([*command, networks / "cnn_bn_before.h5"], check=True, capture_output=True)
        contents.append([(folder / f"cnn_bn_before.{kind}").read_bytes() for kind in KINDS])
    assert contents[0][0] == contents[1][0]
    assert contents[0][1] == contents[1][1]


KINDS = ("onnx", "tflite")


def test_phases(two_ports, tmp_path):
    """Each phase is told as it begins."""
    told = []
    convert(two_ports, tmp_path, to=("onnx",), notify=lambda *event: told.append(event))
    phases = [detail for event, detail in told if event == "phase"]
    assert phases == ["load", "fold", "verify", "export", "verify"]
    assert _names(tmp_path) == {"two_ports.onnx"}


def test_dry_run(two_ports, tmp_path):
    """A dry run proves the algebra, says what it would write, and writes nothing."""
    folder = tmp_path / "new"
    result = convert(two_ports, folder, dry_run=True)
    assert not folder.exists()
    assert result.dry_run
    assert result.artifacts == ()
    assert result.would_write == (str(folder / "two_ports.onnx"), str(folder / "two_ports.tflite"))
    assert result.verification.algebra.checked
    assert result.summary.folded == 2


def test_existing_files_are_kept(two_ports, tmp_path):
    """An artefact that exists stops the conversion before it begins."""
    there = tmp_path / "two_ports.tflite"
    there.write_bytes(b"old")
    with pytest.raises(OutputExists, match=r"two_ports\.tflite' exists") as caught:
        convert(two_ports, tmp_path)
    assert caught.value.exit_code == 2
    assert there.read_bytes() == b"old"
    assert _names(tmp_path) == {"two_ports.tflite"}


def test_overwrite(two_ports, tmp_path):
    """Existing artefacts are replaced when the user says so."""
    there = tmp_path / "two_ports.onnx"
    there.write_bytes(b"old")
    convert(two_ports, tmp_path, to=("onnx",), overwrite=True)
    onnx.checker.check_model(onnx.load(there))
    assert _names(tmp_path) == {"two_ports.onnx"}


def test_overwrite_replaces_no_folder(two_ports, tmp_path):
    """A folder in an artefact's place is not replaced."""
    (tmp_path / "two_ports.onnx").mkdir()
    with pytest.raises(OutputExists, match="is a directory"):
        convert(two_ports, tmp_path, overwrite=True)


def _same_name(model: Path, folder: Path) -> tuple[Path, Path | None]:
    """Have the model itself where the artefact goes."""
    target = folder / "model.onnx"
    target.write_bytes(model.read_bytes())
    return target, None


def _dotted(model: Path, folder: Path) -> tuple[Path, Path | None]:
    path, _ = _same_name(model, folder)
    return folder / "." / "model.onnx", path.parent / ".." / path.parent.name


def _symlink(model: Path, folder: Path) -> tuple[Path, Path | None]:
    source = folder / "in" / "model.keras"
    source.parent.mkdir()
    source.write_bytes(model.read_bytes())
    (folder / "model.onnx").symlink_to(source)
    return source, folder


def _hard_link(model: Path, folder: Path) -> tuple[Path, Path | None]:
    source = folder / "in" / "model.keras"
    source.parent.mkdir()
    source.write_bytes(model.read_bytes())
    (folder / "model.onnx").hardlink_to(source)
    return source, folder


def _symlink_to_the_model(model: Path, folder: Path) -> tuple[Path, Path | None]:
    path, _ = _same_name(model, folder)
    link = folder / "model.h5"
    link.symlink_to(path)
    return link, None


def _linked_folder(model: Path, folder: Path) -> tuple[Path, Path | None]:
    path, _ = _same_name(model, folder)
    link = folder.parent / f"{folder.name}_link"
    link.symlink_to(folder, target_is_directory=True)
    return path, link


ALIASES = [_same_name, _dotted, _symlink, _hard_link, _symlink_to_the_model, _linked_folder]


@pytest.mark.parametrize("alias", ALIASES, ids=lambda make: make.__name__.strip("_"))
def test_the_model_is_never_replaced(two_ports, tmp_path, alias):
    """An artefact that would replace the model, under whatever name, is refused."""
    model, folder = alias(two_ports, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputIsInput) as caught:
        foldbn.convert(model, output_dir=folder, bench=False, overwrite=True)
    assert caught.value.exit_code == 2
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_nothing_is_written_into_a_saved_model(networks):
    """The folder of a SavedModel is no place for artefacts."""
    model = networks / "mlp_bn_after_savedmodel"
    for folder in (model, model / "variables", model / "new"):
        with pytest.raises(OutputIsInput, match="inside the model"):
            foldbn.convert(model, output_dir=folder, bench=False)
    assert not (model / "new").exists()


def test_folder_is_made(two_ports, tmp_path):
    """A missing output folder is made, its parents too."""
    folder = tmp_path / "a" / "b"
    convert(two_ports, folder, to=("onnx",))
    assert _names(folder) == {"two_ports.onnx"}


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_unknown_op(not_in_onnx, tmp_path, kind):
    """An op that an exporter does not know is an error that names it."""
    with pytest.raises(ConversionFailed, match="BesselI0") as caught:
        convert(not_in_onnx, tmp_path / "out", to=(kind,))
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert _names(tmp_path) == set()


def test_nothing_remains_after_a_failure(wrong_in_onnx, tmp_path):
    """A conversion whose second file is wrong leaves no folder and not the first file either."""
    with pytest.raises(VerificationFailed, match=r"sinc\.onnx: outputs differ: 'sinc'") as caught:
        convert(wrong_in_onnx, tmp_path / "a" / "b", to=("tflite", "onnx"))
    assert caught.value.exit_code == 1
    assert _names(tmp_path) == set()


def test_old_files_survive_a_failure(wrong_in_onnx, tmp_path):
    """What was there before a failed conversion is there after it, unchanged."""
    old = {"sinc.onnx": b"old", "sinc.tflite": b"older"}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VerificationFailed):
        convert(wrong_in_onnx, tmp_path, to=("tflite", "onnx"), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_a_format_alone_may_succeed(wrong_in_onnx, tmp_path):
    """The format that is right is written when it is the only one asked for."""
    convert(wrong_in_onnx, tmp_path, to=("tflite",))
    assert _names(tmp_path) == {"sinc.tflite"}


@pytest.mark.parametrize("below", ["file", "file/folder"])
def test_folder_that_cannot_be_made(two_ports, tmp_path, below):
    """A file in place of the output folder is an error that names it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteFailed, match="cannot write to") as caught:
        convert(two_ports, tmp_path / below)
    assert caught.value.exit_code == 4
    assert _names(tmp_path) == {"file"}


def test_require_fold(tmp_path):
    """A layer that stays is an error for who requires all to go, and nothing is written."""
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Activation("tanh"), layers.BatchNormalization(name="bn")]
    )
    path = tmp_path / "model.keras"
    randomise(model).save(path)
    with pytest.raises(NotFolded, match=r"1 of 1 affine layers stay.*'bn'") as caught:
        convert(path, tmp_path / "out", require_fold=True)
    assert caught.value.exit_code == 5
    assert _names(tmp_path) == {"model.keras"}
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
    (row,) = foldbn.bench([long, short], min_speedup=2).benchmark
    assert row.verdict == "faster"
    assert row.speedup > 2


def test_min_speedup_of_a_conversion(two_ports, tmp_path):
    """A conversion that is too slow writes nothing, but an inconclusive one is not too slow."""
    try:
        result = foldbn.convert(two_ports, output_dir=tmp_path, to=("onnx",), min_speedup=1e6)
    except TooSlow:
        assert _names(tmp_path) == set()
    else:
        assert {row.verdict for row in result.benchmark} == {"inconclusive"}


def test_samples(two_ports, tmp_path):
    """The user's samples are compared besides the generated ones."""
    rng = np.random.default_rng(3)
    path = tmp_path / "samples.npz"
    np.savez(path, left=rng.normal(size=(7, 3)), right=rng.normal(size=(7, 4)))
    result = convert(two_ports, tmp_path / "out", to=("onnx",), samples=path)
    assert result.artifacts[0].verification.samples == 64 + 7
    verified = foldbn.verify(two_ports, [result.artifacts[0].path], samples=path)
    assert verified.passed
    assert verified.artifacts[0].verification.samples == 64 + 7


@pytest.fixture(scope="module")
def ports(two_ports):
    """Return the inputs ``left`` [3] and ``right`` [4]."""
    return loading.load(two_ports).original.inputs


LEFT, RIGHT = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
BAD_ARRAYS = {
    "a wrong shape": ({"left": LEFT, "right": LEFT}, r"'right' have shape \(2, 3\)"),
    "a wrong rank": ({"left": LEFT[0], "right": RIGHT}, r"'left' have shape \(3,\)"),
    "a missing array": ({"left": LEFT}, "has no array 'right'; it has left"),
    "unequal counts": ({"left": LEFT, "right": RIGHT[:1]}, r"holds \[1, 2\] samples"),
    "no samples": ({"left": LEFT[:0], "right": RIGHT[:0]}, r"holds \[0\] samples"),
    "NaN": ({"left": LEFT * np.nan, "right": RIGHT}, "'left' hold NaN"),
    "infinity": ({"left": LEFT, "right": RIGHT * np.inf}, "'right' hold NaN, infinity"),
    "text": ({"left": np.full((2, 3), "a"), "right": RIGHT}, "no numbers"),
    "complex numbers": ({"left": LEFT * 1j, "right": RIGHT}, "no numbers"),
    "objects": ({"left": LEFT.astype(object), "right": RIGHT}, "cannot read samples"),
}


@pytest.mark.parametrize(("arrays", "words"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_samples_that_do_not_fit(tmp_path, ports, arrays, words):
    """Samples that do not fit the inputs are refused, saying which and how."""
    path = tmp_path / "samples.npz"
    np.savez(path, **arrays)
    with pytest.raises(BadSamples, match=words) as caught:
        verification.load_samples(path, ports)
    assert caught.value.exit_code == 3


def _is_no_file(_path: Path) -> None:
    pass


def _is_empty(path: Path) -> None:
    path.write_bytes(b"")


def _is_text(path: Path) -> None:
    path.write_text("1, 2, 3")


def _is_truncated(path: Path) -> None:
    np.save(path, LEFT)
    path.write_bytes(path.read_bytes()[:-4])


def _is_truncated_zip(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, left=LEFT, right=RIGHT)
    path.write_bytes(path.read_bytes()[:-30])


def _is_a_folder(path: Path) -> None:
    path.mkdir()


def _is_one_array(path: Path) -> None:
    np.save(path, LEFT)


class _Malicious:
    """Pickled code that would leave a file behind when it is run."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def _is_a_pickle(path: Path) -> None:
    import pickle

    path.write_bytes(pickle.dumps(_Malicious(path.with_name("mark"))))


def _is_an_array_of_pickles(path: Path) -> None:
    np.save(path, np.array([_Malicious(path.with_name("mark"))], object), allow_pickle=True)


BAD_FILES = [
    _is_no_file,
    _is_empty,
    _is_text,
    _is_truncated,
    _is_truncated_zip,
    _is_a_folder,
    _is_one_array,
    _is_a_pickle,
    _is_an_array_of_pickles,
]


@pytest.mark.parametrize("write", BAD_FILES, ids=lambda write: write.__name__.strip("_"))
def test_samples_that_cannot_be_read(tmp_path, ports, write):
    """A file without samples is refused, and nothing that is pickled in it is run."""
    path = tmp_path / "samples.npy"
    write(path)
    with pytest.raises(BadSamples, match=r"samples\.npy"):
        verification.load_samples(path, ports)
    assert not (tmp_path / "mark").exists()


def test_bad_samples_stop_a_conversion(two_ports, tmp_path):
    """Nothing is written when the samples are bad."""
    path = tmp_path / "samples.npy"
    np.save(path, LEFT)
    with pytest.raises(BadSamples, match=r"the model has 2 inputs"):
        convert(two_ports, tmp_path / "out", samples=path)
    assert _names(tmp_path) == {"samples.npy"}

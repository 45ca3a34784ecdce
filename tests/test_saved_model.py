"""The folded graph as a SavedModel: what plain TensorFlow loads, serves, and finds on the disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import (
    ConversionFailed,
    OutputExists,
    OutputIsInput,
    RuntimeFailed,
    Unreadable,
    Unsafe,
    UsageError,
    WriteFailed,
)
from foldbn.export import staging
from foldbn.frontends import loading, sniff
from tests.journeys import randomise

KIND = ("savedmodel",)


def convert(model: Path, folder: Path, **options: Any) -> foldbn.Conversion:
    """Convert to a SavedModel alone, without timing."""
    return foldbn.convert(model, output_dir=folder, to=KIND, bench=False, **options)


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def two_ports() -> Any:
    """Return a model with two inputs of awkward names, two outputs and 1 MB of weights."""
    import keras

    left, right = keras.Input((300,), name="input-1"), keras.Input((40,), name="2.right")
    layers = keras.layers
    wide = layers.Dense(800, activation="relu", name="wide")(left)
    normed = layers.BatchNormalization(name="bn")(wide)
    one = layers.Dense(3, name="one")(normed)
    two = layers.Dense(3, name="two")(layers.BatchNormalization(name="bn_right")(right))
    total = layers.Add(name="sum")([one, two])
    return randomise(keras.Model([left, right], [total, layers.Softmax(name="kind")(total)]))


@pytest.fixture(scope="module")
def path(two_ports, tmp_path_factory) -> Path:
    """Return the file of the model with two ports."""
    path = tmp_path_factory.mktemp("models") / "two_ports.keras"
    two_ports.save(path)
    return path


@pytest.fixture(scope="module")
def converted(path, tmp_path_factory) -> foldbn.Conversion:
    """Return the conversion of the model with two ports."""
    return convert(path, tmp_path_factory.mktemp("converted"))


@pytest.fixture(scope="module")
def folder(converted) -> Path:
    """Return the SavedModel of the model with two ports."""
    return Path(converted.artifacts[0].path)


PLAIN = """
import json, sys
import numpy as np
import tensorflow as tf

with np.load(sys.argv[2]) as archive:
    samples = dict(archive)
loaded = tf.saved_model.load(sys.argv[1])
serve = loaded.signatures["serving_default"]
found = serve(**{name: tf.constant(array) for name, array in samples.items()})
json.dump({
    "outputs": {name: tensor.numpy().tolist() for name, tensor in found.items()},
    "shapes": {name: tensor.shape.as_list() for name, tensor in serve.structured_outputs.items()},
    "variables": {v.name: v.shape.as_list() for v in loaded.weights.values()},
    "modules": [name for name in sys.modules if name.startswith("foldbn")],
}, sys.stdout)
"""


def test_plain_tensorflow_serves_it(two_ports, folder, tmp_path):
    """A process without foldbn computes what the original does, under its names."""
    rng = np.random.default_rng(5)
    shapes = {"input-1": (7, 300), "2.right": (7, 40)}
    samples = {n: rng.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    np.savez(tmp_path / "samples.npz", **samples)
    run = subprocess.run(
        [sys.executable, "-c", PLAIN, folder, tmp_path / "samples.npz"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
    )
    told = json.loads(run.stdout)
    assert told["modules"] == []
    assert set(told["outputs"]) == {"sum", "kind"}
    wanted = two_ports.predict(samples, verbose=0)
    for name, array in zip(("sum", "kind"), wanted, strict=True):
        np.testing.assert_allclose(told["outputs"][name], array, rtol=1e-4, atol=1e-4)
    assert told["shapes"] == {"sum": [None, 3], "kind": [None, 3]}
    assert [300, 800] in told["variables"].values()


def test_weights_are_in_the_checkpoint(folder):
    """The graph is small; the weights are beside it."""
    assert (folder / "saved_model.pb").stat().st_size < 100_000
    assert sum(len(part) for name, part in _contents(folder).items() if "data-" in name) > 960_000


def test_artifact(converted, folder, path):
    """What is told of the directory is true."""
    (artifact,) = converted.artifacts
    assert artifact.format == "savedmodel"
    assert folder.name == "two_ports.savedmodel"
    assert artifact.bytes == artifact.size.after == sum(map(len, _contents(folder).values()))
    assert artifact.size.before is None
    assert artifact.sha256 == sniff.sha256_of(folder)
    assert artifact.nodes.after == sum(artifact.ops.values())
    assert artifact.nodes.before > artifact.nodes.after
    assert artifact.params.before > artifact.params.after > 240_000
    assert artifact.ops["MatMul"] == 3
    assert artifact.verification.passed
    assert artifact.verification.samples == 64
    assert artifact.signatures == ("serving_default",)
    assert artifact.left_out == {}
    assert _names(folder.parent) == {"two_ports.savedmodel"}
    assert convert(path, folder.parent / "dry", dry_run=True).would_write == (
        str(folder.parent / "dry" / "two_ports.savedmodel"),
    )


def test_open_to_who_may_read(folder):
    """Files and folders have the permissions that the user's others have."""
    mask = os.umask(0)
    os.umask(mask)
    for part in (folder, *folder.rglob("*")):
        assert part.stat().st_mode & 0o777 == (0o777 if part.is_dir() else 0o666) & ~mask


def test_it_is_an_input_too(converted, folder):
    """Its own SavedModel is read like any other: nothing is left to fold, names are kept."""
    found = foldbn.inspect(folder)
    assert found.source.sha256 == converted.artifacts[0].sha256
    assert found.summary.affine_layers == 0
    assert {port.name for port in loading.load(folder).original.inputs} == {"input-1", "2.right"}


@pytest.mark.parametrize("size", [3, "dynamic"])
def test_batch_size(path, tmp_path, size):
    """The batch axis is what is asked for."""
    result = convert(path, tmp_path, batch_size=size)
    ports = loading.load(Path(result.artifacts[0].path)).original
    assert {port.shape[0] for port in (*ports.inputs, *ports.outputs)} == {
        None if size == "dynamic" else size
    }


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    """Return a SavedModel with the signatures ``encode``, ``decode``, ``classify`` and ``text``.

    The first two share a kernel of 1 MB; ``text`` takes strings.
    """
    import tensorflow as tf

    rng = np.random.default_rng(7)

    def draw(*shape: int) -> Any:
        return tf.Variable(rng.normal(size=shape).astype(np.float32))

    class Coder(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.small = draw(500, 500), draw(500, 4)
            self.scale, self.shift = draw(500), draw(500)

        @tf.function(input_signature=[tf.TensorSpec((None, 500), name="picture")])
        def encode(self, picture: Any) -> Any:
            return {"code": tf.nn.relu(picture @ self.kernel * self.scale + self.shift)}

        @tf.function(input_signature=[tf.TensorSpec((None, 500), name="code")])
        def decode(self, code: Any) -> Any:
            return {"picture": tf.tanh(code @ self.kernel)}

        @tf.function(input_signature=[tf.TensorSpec((2, 500), name="code")])
        def classify(self, code: Any) -> Any:
            return {"kind": (code * self.scale + self.shift) @ self.small}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="words")])
        def text(self, words: Any) -> Any:
            return {"length": tf.strings.length(words)}

    model = Coder()
    path = tmp_path_factory.mktemp("models") / "coder"
    names = ("encode", "decode", "classify", "text")
    tf.saved_model.save(model, str(path), signatures={name: getattr(model, name) for name in names})
    return path


def test_all_signatures(several, tmp_path):
    """Each signature is there under its name, with its ports; one that cannot be is told."""
    import tensorflow as tf

    result = convert(several, tmp_path, signature="encode")
    (artifact,) = result.artifacts
    assert artifact.signatures == ("encode", "classify", "decode")
    assert list(artifact.left_out) == ["text"]
    assert "string" in artifact.left_out["text"]
    assert artifact.verification.samples == 3 * 64
    assert artifact.path == str(tmp_path / "coder.savedmodel")
    before, after = (tf.saved_model.load(str(path)) for path in (several, artifact.path))
    assert set(after.signatures) == {"encode", "decode", "classify"}
    batch = np.random.default_rng(8).normal(size=(2, 500)).astype(np.float32)
    for name in after.signatures:
        one, two = before.signatures[name], after.signatures[name]
        assert two.structured_input_signature == one.structured_input_signature
        assert {n: (t.shape.as_list(), t.dtype) for n, t in two.structured_outputs.items()} == {
            n: (t.shape.as_list(), t.dtype) for n, t in one.structured_outputs.items()
        }
        wanted, found = one(tf.constant(batch)), two(tf.constant(batch))
        for key, tensor in wanted.items():
            np.testing.assert_allclose(found[key], tensor, rtol=1e-3, atol=1e-3)


def test_signatures_share_their_weights(several, tmp_path):
    """A kernel that several signatures read as it was is stored once."""
    first = convert(several, tmp_path / "one", signature="decode").artifacts[0]
    import tensorflow as tf

    shapes = [v.shape.as_list() for v in tf.saved_model.load(first.path).weights.values()]
    # encode's kernel took a scale in; decode's is as it was, and nothing is there twice.
    assert sorted(shapes) == [[500, 4], [500, 500], [500, 500]]
    again = convert(Path(first.path), tmp_path / "two", signature="decode").artifacts[0]
    assert again.bytes < first.bytes * 1.01


def test_left_out_is_told_at_the_terminal(several, tmp_path):
    """The text names the signature that is not written, and why."""
    from rich.console import Console

    from foldbn.report import render

    console = Console(record=True, width=200)
    render(convert(several, tmp_path, signature="decode"), console)
    assert "left out  signature 'text' is not in coder.savedmodel" in console.export_text()


def test_same_bytes_in_every_process(several, tmp_path):
    """Two processes write the same bytes, the fingerprint's identifier included."""
    contents = []
    for name in ("first", "second"):
        command = [sys.executable, "-m", "foldbn", "convert", several, "--to", "savedmodel"]
        command += ["--signature", "encode", "-q", "-o", tmp_path / name]
        subprocess.run(command, check=True, capture_output=True)
        contents.append(_contents(tmp_path / name))
    assert contents[0].keys() == contents[1].keys()
    for name, content in contents[0].items():
        assert contents[1][name] == content, name


def _old(folder: Path, name: str = "two_ports.savedmodel") -> Path:
    """Put something into the artefact's place that looks like a SavedModel."""
    target = folder / name
    target.mkdir()
    (target / "saved_model.pb").write_bytes(b"old")
    return target


def test_existing_directory_is_kept(path, tmp_path):
    """A SavedModel that exists stops the conversion before it begins."""
    target = _old(tmp_path)
    with pytest.raises(OutputExists, match=r"two_ports\.savedmodel' exists"):
        convert(path, tmp_path)
    assert _contents(target) == {"saved_model.pb": b"old"}


def test_overwrite(path, tmp_path):
    """It is replaced as a whole when the user says so."""
    target = _old(tmp_path)
    (target / "more").write_bytes(b"old")
    convert(path, tmp_path, overwrite=True)
    assert _names(tmp_path) == {"two_ports.savedmodel"}
    assert not (target / "more").exists()
    assert foldbn.inspect(target).summary.affine_layers == 0


def test_overwrite_through_a_link(path, tmp_path):
    """A link in the artefact's place is replaced, and what it leads to is left alone."""
    elsewhere = _old(tmp_path, "elsewhere")
    (tmp_path / "two_ports.savedmodel").symlink_to(elsewhere)
    convert(path, tmp_path, overwrite=True)
    assert not (tmp_path / "two_ports.savedmodel").is_symlink()
    assert _contents(elsewhere) == {"saved_model.pb": b"old"}


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_overwrite_replaces_only_a_saved_model(path, tmp_path, kind):
    """What is no SavedModel is not replaced, whatever the user says."""
    target = tmp_path / "two_ports.savedmodel"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("years of work")
    else:
        target.write_text("years of work")
    with pytest.raises(OutputExists, match="is no SavedModel") as caught:
        convert(path, tmp_path, overwrite=True)
    assert caught.value.exit_code == 2
    assert target.is_file() or _names(target) == {"thesis.txt"}


@pytest.mark.parametrize("failing", ["aside", "into place"])
def test_the_old_one_comes_back(path, tmp_path, monkeypatch, failing):
    """When the new directory cannot take its place, the old one has it again."""
    target = _old(tmp_path)
    rename, calls = Path.rename, []

    def fail(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == ("aside", "into place").index(failing) + 1:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(WriteFailed, match="No space left on device"):
        convert(path, tmp_path, overwrite=True)
    assert _names(tmp_path) == {"two_ports.savedmodel"}
    assert _contents(target) == {"saved_model.pb": b"old"}


def test_nothing_is_left_after_a_failure(path, tmp_path, monkeypatch):
    """A disk that is full while the files go down to it leaves nothing behind."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging.os, "fsync", full)
    with pytest.raises(WriteFailed, match="No space left on device") as caught:
        convert(path, tmp_path / "a" / "b")
    assert caught.value.exit_code == 4
    assert _names(tmp_path) == set()


def test_tensorflow_cannot_write(path, tmp_path, monkeypatch):
    """What TensorFlow stumbles over is an error of the conversion."""
    import tensorflow as tf

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "disk full")

    monkeypatch.setattr(tf.saved_model, "save", refuse)
    with pytest.raises(ConversionFailed, match="disk full") as caught:
        convert(path, tmp_path / "out")
    assert caught.value.exit_code == 4
    assert _names(tmp_path) == set()


def test_the_model_is_never_replaced(several, path, tmp_path):
    """Neither the model in the artefact's place is replaced nor a folder with the model in it."""
    model = tmp_path / "model.savedmodel"
    shutil.copytree(several, model)
    before = _contents(model)
    for output in (None, tmp_path / ".", tmp_path / "model.savedmodel" / ".."):
        with pytest.raises(OutputIsInput, match="is the model itself"):
            foldbn.convert(model, output_dir=output, to=KIND, overwrite=True, bench=False)
    assert _contents(model) == before
    inside = _old(tmp_path) / "two_ports.keras"
    inside.write_bytes(path.read_bytes())
    with pytest.raises(OutputIsInput, match="the model is inside"):
        convert(inside, tmp_path, overwrite=True)
    assert inside.exists()


def test_beside_a_saved_model(several, tmp_path):
    """A directory without the suffix keeps its place; the artefact goes beside it."""
    shutil.copytree(several, tmp_path / "coder")
    before = _contents(tmp_path / "coder")
    foldbn.convert(tmp_path / "coder", to=KIND, signature="decode", bench=False)
    assert _names(tmp_path) == {"coder", "coder.savedmodel"}
    assert _contents(tmp_path / "coder") == before


def test_it_is_not_timed(path, tmp_path):
    """There is no row for a SavedModel, and no bar for its speed."""
    result = foldbn.convert(path, output_dir=tmp_path, to=KIND)
    assert result.benchmark == ()
    with pytest.raises(UsageError, match="a SavedModel is not timed"):
        foldbn.convert(path, output_dir=tmp_path, to=KIND, min_speedup=1.0, overwrite=True)


def test_verify(path, folder):
    """A SavedModel is a file to verify like any other."""
    result = foldbn.verify(path, [folder])
    assert result.passed
    assert result.artifacts[0].format == "savedmodel"
    assert result.artifacts[0].verification.samples == 64


def test_verify_finds_another_model(two_ports, folder, tmp_path):
    """The SavedModel of a model with one weight changed does not pass."""
    import keras

    other = keras.models.clone_model(two_ports)
    other.set_weights(two_ports.get_weights())
    kernel = other.get_layer("one").kernel.numpy()
    kernel[3, 1] += 1e-2
    other.get_layer("one").kernel.assign(kernel)
    other.save(tmp_path / "other.keras")
    assert not foldbn.verify(tmp_path / "other.keras", [folder]).passed


def test_verify_finds_the_signature(several, tmp_path):
    """The original's signature is looked for in the exported one, or the only one is taken."""
    exported = convert(several, tmp_path, signature="encode").artifacts[0].path
    for name in ("encode", "decode", "classify"):
        assert foldbn.verify(several, [exported], signature=name).passed
    import tensorflow as tf

    kernel = tf.Variable(tf.eye(500))
    function = tf.function(
        lambda x: {"out": x @ kernel}, input_signature=[tf.TensorSpec((None, 500))]
    )
    module = tf.Module()
    module.kernel, module.call = kernel, function
    lone = tmp_path / "lone"
    tf.saved_model.save(module, str(lone), signatures={"only": function})
    assert not foldbn.verify(several, [lone], signature="decode").passed
    with pytest.raises(RuntimeFailed, match="no signature 'only'; it has classify, decode, encode"):
        foldbn.verify(lone, [exported])


def test_verify_takes_no_damaged_directory(path, tmp_path):
    """A damaged SavedModel is refused, and so is one that would touch the machine."""
    import tensorflow as tf

    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(Unreadable, match="damaged"):
        foldbn.verify(path, [tmp_path / "damaged"])
    function = tf.function(
        lambda _: tf.io.read_file("/etc/hostname"),
        input_signature=[tf.TensorSpec((None, 3), name="x")],
    )
    module = tf.Module()
    module.call = function
    tf.saved_model.save(module, str(tmp_path / "unsafe"), signatures={"serving_default": function})
    with pytest.raises(Unsafe, match="ReadFile"):
        foldbn.verify(path, [tmp_path / "unsafe"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unreadable, match="is no file"):
        foldbn.verify(path, [tmp_path / "empty"])

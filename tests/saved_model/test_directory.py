"""What plain TensorFlow loads, serves, and finds on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import foldbn
from foldbn.errors import UsageError
from foldbn.frontends import loading, sniff
from tests.saved_model.directories import KIND, convert, entries_of, files_in

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
    assert sum(len(part) for name, part in files_in(folder).items() if "data-" in name) > 960_000


def test_artifact(converted, folder, path):
    """What is told of the directory is true."""
    (artifact,) = converted.artifacts
    assert artifact.format == "savedmodel"
    assert folder.name == "two_ports.savedmodel"
    assert artifact.bytes == artifact.size.after == sum(map(len, files_in(folder).values()))
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
    assert entries_of(folder.parent) == {"two_ports.savedmodel"}
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


def test_it_is_not_timed(path, tmp_path):
    """There is no row for a SavedModel, and no bar for its speed."""
    result = foldbn.convert(path, output_dir=tmp_path, to=KIND)
    assert result.benchmark == ()
    with pytest.raises(UsageError, match="a SavedModel is not timed"):
        foldbn.convert(path, output_dir=tmp_path, to=KIND, min_speedup=1.0, overwrite=True)

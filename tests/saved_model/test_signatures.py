"""Every signature is exported, with its ports; what cannot be is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.saved_model.directories import convert, files_in


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
        contents.append(files_in(tmp_path / name))
    assert contents[0].keys() == contents[1].keys()
    for name, content in contents[0].items():
        assert contents[1][name] == content, name

"""A SavedModel as a file to verify."""

from __future__ import annotations

import pytest

import foldbn
from foldbn.errors import RuntimeFailed, Unreadable, Unsafe
from tests.saved_model.directories import convert


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
    with pytest.raises(Unreadable, match="is no SavedModel"):
        foldbn.verify(path, [tmp_path / "empty"])

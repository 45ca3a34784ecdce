"""What an exporter cannot convert, and what remains then."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldbn.errors import ConversionFailed, VerificationFailed
from tests.convert.untimed import convert, names


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


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_unknown_op(not_in_onnx, tmp_path, kind):
    """An op that an exporter does not know is an error that names it."""
    with pytest.raises(ConversionFailed, match="BesselI0") as caught:
        convert(not_in_onnx, tmp_path / "out", to=(kind,))
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert names(tmp_path) == set()


def test_nothing_remains_after_a_failure(wrong_in_onnx, tmp_path):
    """A conversion whose second file is wrong leaves no folder and not the first file either."""
    with pytest.raises(VerificationFailed, match=r"sinc\.onnx: outputs differ: 'sinc'") as caught:
        convert(wrong_in_onnx, tmp_path / "a" / "b", to=("tflite", "onnx"))
    assert caught.value.exit_code == 1
    assert names(tmp_path) == set()


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
    assert names(tmp_path) == {"sinc.tflite"}

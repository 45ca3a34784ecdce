"""Names from a file that a terminal, a CI log or a page would obey are told as escapes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import keras
import onnx
import pytest
from rich.console import Console

import foldbn
from foldbn.report import render
from foldbn.results import Decision, Inspection, Source, Summary
from tests.command import run
from tests.journeys import randomise

HOSTILE = {
    "ANSI": "\x1b[31mred\x1b[0m",
    "C1": "\x9b31mred",
    "workflow command": "::error::pwned",
    "old workflow command": "##[error]pwned",
    "tag": "<script>alert(1)<.script>",
    "bidi": "\u202egnp.exe",
    "invisible": "a\u200b\u2028b",
    "lines": "one\n::error::two\r\n",
    "markup": "[bold red]x",
}


def named(name: str, folder: Path, suffix: str = ".keras") -> Path:
    """Return a model with a Dense layer and a normalization of a name."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, name="dense"),
            layers.BatchNormalization(name=name),
            layers.Activation("tanh"),
        ]
    )
    path = folder / f"model{suffix}"
    randomise(model).save(path)
    return path


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", ["..", "-rf", "a" * 300, "x.y-z>w"])
def test_a_layer_of_any_name_converts(tmp_path, suffix, name):
    """A name that TensorFlow takes is no hindrance, and leads nowhere."""
    path = named(name, tmp_path, suffix)
    result = foldbn.convert(path, output_dir=tmp_path / "out", bench=False)
    assert [(each.layer, each.outcome) for each in result.decisions] == [(name, "folded")]
    assert {each.name for each in tmp_path.iterdir()} == {path.name, "out"}
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"model.onnx", "model.tflite"}


def assert_harmless(text: str) -> None:
    """Assert that nothing in printed lines is obeyed by anything."""
    for line in text.splitlines():
        assert line.replace("\t", " ").isprintable(), line
        assert not line.lstrip().startswith("::"), line
        assert "##[" not in line
        assert "<script" not in line


SOUR = """
import keras

class Sour(keras.layers.Layer):
    def call(self, x):
        raise ValueError(self.name)
"""


class Sour(keras.layers.Layer):
    """A layer that is called in peace while its model is made."""

    def call(self, x: Any) -> Any:
        """Hand on what comes."""
        return x


def test_names_are_escaped_by_the_command(tmp_path):
    """Whatever the command says of a model is harmless, and means the same."""
    name = "".join(HOSTILE.values())
    path = named(name, tmp_path)
    for flags in (("--json",), ("--debug",)):
        finished = run("inspect", path, *flags)
        assert finished.returncode == 0, finished.stderr
        assert_harmless(finished.stdout + finished.stderr)
        assert "\\x1b[31mred" in finished.stdout or "\\u001b[31mred" in finished.stdout
        if "--json" in flags:
            assert json.loads(finished.stdout)["decisions"][0]["layer"] == name


def test_tracebacks_are_escaped(tmp_path):
    """What a layer raises is quoted on either stream and in the log, and obeyed in neither."""
    inputs = keras.Input((3,))
    path, log = tmp_path / "m.keras", tmp_path / "worker.log"
    keras.Model(inputs, Sour(name="".join(HOSTILE.values()))(inputs)).save(path)
    (tmp_path / "sour.py").write_text(SOUR)
    for flags in (("--json", "--log-file", log), ("--debug",)):
        finished = run("inspect", path, "--custom-objects", tmp_path / "sour.py", *flags)
        assert finished.returncode == 3, finished.stderr
        assert_harmless(finished.stdout + finished.stderr)
    assert_harmless(log.read_text())
    assert "Traceback" in log.read_text()
    assert "\\x1b[31mred" in log.read_text()


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_the_report_is_escaped(name):
    """The text for a terminal shows hostile names and reasons in one line each, as they are."""
    decisions = tuple(
        Decision(name, "Affine", outcome, into=(name,), across=(name,), reason=f"{name}; {name}")
        for outcome in ("folded", "kept")
    )
    source = Source(name, "keras-h5", "", f"keras {name}")
    screen = io.StringIO()
    console = Console(file=screen, width=300, markup=False, highlight=False, emoji=False)
    render(Inspection(source, Summary(2, 1, 0, 0, 1), decisions), console, verbose=True)
    assert_harmless(screen.getvalue())
    assert (
        name.isprintable() == (name in screen.getvalue())
        or "::" in name
        or "<" in name
        or "##" in name
    )


def renamed(path: Path, name: str) -> Path:
    """Return a copy of an ONNX file whose output has another name."""
    proto = onnx.load(path)
    old = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = [name if each == old else each for each in node.output]
    proto.graph.output[0].name = name
    copy = path.with_name("renamed.onnx")
    copy.write_bytes(proto.SerializeToString())
    return copy


def test_an_error_with_a_hostile_name(networks, tmp_path):
    """An exported file whose output is called something evil is told of in escapes."""
    foldbn.convert(networks / "bn_axis_1.h5", output_dir=tmp_path, to=("onnx",), bench=False)
    name = "".join(HOSTILE.values())
    exported: Any = renamed(tmp_path / "bn_axis_1.onnx", name)
    for flags in ((), ("--json",)):
        finished = run("verify", networks / "bn_axis_1.h5", exported, *flags)
        assert finished.returncode in (0, 1, 3, 4)
        assert_harmless(finished.stdout + finished.stderr)

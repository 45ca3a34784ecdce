"""Models whose images or sequences have any length are timed as well, and told on which."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import foldbn
from foldbn.errors import RuntimeFailed
from foldbn.pipeline.proving import load_and_prove
from foldbn.pipeline.steps import Choices, Clock, silent
from foldbn.pipeline.timing import time_own
from foldbn.report import render
from tests.benchmark.tiny import write_onnx
from tests.journeys import randomise

SHORT = 20


@dataclass(frozen=True)
class Timed:
    """A model that was converted and timed.

    Attributes:
        result: of the conversion.
        shapes: that it should have been timed on.
    """

    result: foldbn.Conversion
    shapes: dict[str, tuple[int, ...]]

    @property
    def files(self) -> list[str]:
        """The paths of what was written."""
        return [artifact.path for artifact in self.result.artifacts]


def _images(folder: Path) -> Path:
    import keras

    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    hidden = layers.BatchNormalization()(layers.Conv2D(4, 3, name="conv")(image))
    output = layers.Dense(2, name="kind")(layers.GlobalAveragePooling2D()(hidden))
    path = folder / "images.keras"
    randomise(keras.Model(image, output)).save(path)
    return path


def _sequences(folder: Path) -> Path:
    """Write a model with two inputs of open lengths, and with one of a fixed length."""
    import keras

    layers = keras.layers
    inputs = [keras.Input(shape, name=name) for name, shape in SEQUENCES.items()]
    hidden = [
        layers.GlobalMaxPooling1D()(
            layers.BatchNormalization()(layers.Conv1D(4, 3, name=f"conv_{tensor.name}")(tensor))
        )
        for tensor in inputs[:2]
    ]
    output = layers.Dense(2, name="kind")(layers.Concatenate()([*hidden, inputs[2]]))
    path = folder / "sequences.keras"
    randomise(keras.Model(inputs, output)).save(path)
    return path


# A TFLite file has them in another order, and the last name is none for its exporter.
SEQUENCES = {"voice": (None, 16), "class": (None, 8), "about-it": (5,)}
OPEN = {
    "images": (_images, None, {"image": (1, 32, 32, 3)}),
    "sequences": (
        _sequences,
        {"voice": (SHORT, 16), "class": (SHORT + 7, 8), "about-it": (5,)},
        {"voice": (1, SHORT, 16), "class": (1, SHORT + 7, 8), "about-it": (1, 5)},
    ),
}


@pytest.fixture(scope="module", params=OPEN.values(), ids=OPEN)
def timed(request, tmp_path_factory) -> Timed:
    """Return a conversion with timing, of one model on generated samples and of one on given."""
    build, given, shapes = request.param
    folder = tmp_path_factory.mktemp("open")
    samples = None
    if given is not None:
        samples = folder / "samples.npz"
        rng = np.random.default_rng(1)
        np.savez(samples, **{name: rng.normal(size=(3, *shape)) for name, shape in given.items()})
    result = foldbn.convert(build(folder), samples=samples, providers=["cpu"])
    return Timed(result, shapes)


def test_convert_times_what_it_verified(timed):
    """Both formats are timed on inputs that are as long as the samples."""
    assert [row.format for row in timed.result.benchmark] == ["onnx", "tflite"]
    for row in timed.result.benchmark:
        assert row.shapes == timed.shapes
        assert row.original_ms.p50 > 0


def test_the_report_tells_the_shapes(timed):
    """One line says what the latencies are of, as both formats were timed on the same."""
    console = Console(file=io.StringIO(), width=200)
    render(timed.result, console)
    shapes = ", ".join(f"{name} {list(shape)}" for name, shape in timed.shapes.items())
    lines = [line for line in console.file.getvalue().splitlines() if "timed on" in line]
    assert lines == [f"timed on inputs of {shapes}"]


def test_bench_takes_the_files(timed):
    """Alone and side by side such files are timed on lengths of 32."""
    wanted = {
        name: (1, *(length if length not in (SHORT, SHORT + 7) else 32 for length in shape[1:]))
        for name, shape in timed.shapes.items()
    }
    (row,) = foldbn.bench(timed.files, providers=["cpu"]).benchmark
    assert (row.format, row.shapes) == ("tflite", wanted)
    (row,) = foldbn.bench(timed.files[:1], batch_size=2, providers=["cpu"]).benchmark
    assert row.shapes == {name: (2, *shape[1:]) for name, shape in wanted.items()}


def test_a_file_that_does_not_run_while_it_is_timed(tmp_path):
    """The hint names what goes on without timing, and what gives other lengths."""
    proven = load_and_prove(
        _images(tmp_path), Clock(silent), Choices(), samples=None, seed=0, require_fold=False
    )
    shape = ("N", "T", "U", "V")  # 3 and 5 numbers cannot be added
    broken = write_onnx(tmp_path / "broken.onnx", shape, op="Add", name="image", constant=5)
    with pytest.raises(
        RuntimeFailed, match=r"'image' \[1, 32, 32, 3\]: onnxruntime says"
    ) as caught:
        time_own(broken, broken, proven, format="onnx", providers=["cpu"])
    assert "--no-bench" in caught.value.hint
    assert "--samples" in caught.value.hint

"""What a result looks like as text."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import foldbn
from foldbn.latencies import Benchmark, BenchmarkRow, Latency
from foldbn.report import render

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def text(result: object, **options: object) -> str:
    """Return what is printed, by default into a pipe."""
    console = Console(file=io.StringIO(), width=200, **options)  # type: ignore[arg-type]
    render(result, console)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(scope="module")
def inspection() -> foldbn.Inspection:
    """Return what becomes of a network some of whose layers stay."""
    return foldbn.inspect(FIXTURES / "cnn_bn_after.h5")


def test_a_pipe_gets_no_blanks_at_the_end(inspection):
    """Lines end where their text does, and so does the whole."""
    found = text(inspection)
    assert "lowered" in found
    assert [line for line in found.splitlines() if line != line.rstrip()] == []
    assert found == found.rstrip() + "\n"


def test_a_terminal_gets_the_same_text(inspection):
    """Only blanks and colours differ."""
    shown = text(inspection, force_terminal=True, color_system=None)
    assert [line.rstrip() for line in shown.rstrip().splitlines()] == text(inspection).splitlines()


def row(name: str) -> BenchmarkRow:
    """Return a row of a benchmark of the file `name`."""
    latency = Latency(p50=1.0, p95=2.0)
    return BenchmarkRow(
        format="onnx",
        provider="CPUExecutionProvider",
        threads=1,
        batch_size=1,
        copies=None,
        optimization="all",
        original_ms=latency,
        folded_ms=latency,
        speedup=1.0,
        speedup_ci95=(0.9, 1.1),
        noise_ci95=(0.9, 1.1),
        verdict="same",
        original="dir/first.onnx",
        folded=name,
    )


def test_copies_are_told():
    """The rows of a GPU differ in whether a call copies."""
    rows = [
        replace(row("a.onnx"), provider="CUDAExecutionProvider", copies=way)
        for way in (False, True)
    ]
    found = text(Benchmark(tuple(rows)))
    assert found.count("a.onnx CUDA") == 2
    assert found.count("a.onnx CUDA with copies") == 1


def test_timed_shapes_are_told():
    """What files were timed on is told where lengths are open, once if all are alike."""
    shapes = {"image": (1, 32, 32, 3), "\x1b[31mred": (1, 4)}
    first, second = (replace(row(f"dir/{name}.onnx"), shapes=shapes) for name in "ab")
    line = "timed on inputs of image [1, 32, 32, 3], \\x1b[31mred [1, 4]"
    assert text(Benchmark((first, second))).splitlines()[-1] == line
    other = replace(second, shapes={"image": (1, 8, 8, 3)})
    assert text(Benchmark((row("dir/c.onnx"), first, other))).splitlines()[-2:] == [
        f"a.onnx {line}",
        "b.onnx timed on inputs of image [1, 8, 8, 3]",
    ]
    assert "timed on" not in text(Benchmark((row("dir/c.onnx"),)))


def test_files_that_are_timed_are_named():
    """Of three files of one format each row says which it is of."""
    found = text(Benchmark((row("dir/second.onnx"), row("dir/third.onnx"))))
    assert "second.onnx CPU" in found
    assert "third.onnx CPU" in found


def test_moved_convolutions_are_named(inspection):
    """What works in another place is told, and its name cannot play tricks on a terminal."""
    moved = replace(inspection, reordered=("pool2_conv", "\x1b[31mred"))
    assert "moved to where there are fewer positions: pool2_conv, \\x1b[31mred" in text(moved)
    assert "fewer positions" not in text(inspection)

"""Generated samples go where the model looks: no row of a table and no pixel is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from onnx import helper, numpy_helper

import foldbn
from foldbn.errors import Unsupported
from foldbn.frontends.frozen import Port
from foldbn.frontends.ranges import Range
from foldbn.verification import generate_samples
from tests.journeys import randomise


def exported(model: Any, folder: Path) -> tuple[Path, onnx.ModelProto]:
    """Return the file of a model, and what foldbn makes of it."""
    model.save(folder / "m.keras")
    result = foldbn.convert(folder / "m.keras", to=("onnx",), bench=False)
    return folder / "m.keras", onnx.load(result.artifacts[0].path)


def passes(original: Path, proto: onnx.ModelProto) -> bool:
    """Whether foldbn takes a file for the original."""
    onnx.save(proto, original.with_name("altered.onnx"))
    return foldbn.verify(original, [original.with_name("altered.onnx")]).passed


def with_other_rows(proto: onnx.ModelProto, rows: int, first: int) -> onnx.ModelProto:
    """Return a file whose table of so many rows is another one from row `first` on."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    (table,) = (t for t in result.graph.initializer if t.dims[:1] == [rows])
    changed = numpy_helper.to_array(table).copy()
    changed[first:] *= -1
    table.CopyFrom(numpy_helper.from_array(changed, table.name))
    return result


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_rows_of_a_table(tmp_path, dtype):
    """A table is wrong if its last row is, and if an index comes as a float as well."""
    ids = keras.Input((8,), dtype=dtype, name="ids")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(40, 6)(ids))
    original, proto = exported(keras.Model(ids, layers.Dense(3)(pooled)), tmp_path)
    assert passes(original, proto)
    for first in (20, 39):
        assert not passes(original, with_other_rows(proto, 40, first))


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_columns_that_look_up_tables_of_their_own(tmp_path, dtype):
    """A column with a great table is not held to the rows of its neighbour's small one."""
    x = keras.Input((3,), dtype=dtype, name="x")
    parts = [layers.Embedding(rows, 3)(x[:, column]) for column, rows in ((0, 4), (2, 1000))]
    parts.append(layers.Dense(3)(keras.ops.cast(x[:, 1:2], "float32")))
    y = layers.Dense(2)(layers.BatchNormalization()(layers.Concatenate()(parts)))
    original, proto = exported(randomise(keras.Model(x, y)), tmp_path)
    assert passes(original, proto)
    assert not passes(original, with_other_rows(proto, 1000, 4))


def test_indices_that_nobody_can_follow(tmp_path):
    """Where no generated sample will do, the user's own are enough, and tell rows apart."""
    x = keras.Input((4,), name="x")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(9, 6)(keras.ops.floor(x)))
    model = keras.Model(x, layers.Dense(3)(layers.BatchNormalization()(pooled)))
    randomise(model).save(tmp_path / "m.keras")
    with pytest.raises(Unsupported, match="is not in"):
        foldbn.convert(tmp_path / "m.keras", to=("onnx",), bench=False)
    own = tmp_path / "own.npy"
    np.save(own, np.random.default_rng(0).integers(0, 9, (16, 4)))
    result = foldbn.convert(tmp_path / "m.keras", to=("onnx",), bench=False, samples=own)
    assert result.artifacts[0].verification.samples == 16
    altered = tmp_path / "altered.onnx"
    onnx.save(with_other_rows(onnx.load(result.artifacts[0].path), 9, 5), altered)
    assert not foldbn.verify(tmp_path / "m.keras", [altered], samples=own).passed


def test_lengths_that_are_too_short(tmp_path):
    """A model that does not take lengths of 32 says so, and is proven on the user's own."""
    x = keras.Input((None, 3), name="x")
    y = layers.BatchNormalization()(layers.Conv1D(4, 40)(x))
    randomise(keras.Model(x, layers.GlobalAveragePooling1D()(y))).save(tmp_path / "m.keras")
    with pytest.raises(Unsupported, match="cannot evaluate the model") as caught:
        foldbn.convert(tmp_path / "m.keras", to=("onnx",), bench=False)
    assert "give real inputs with --samples" in caught.value.hint
    own = tmp_path / "own.npy"
    np.save(own, np.random.default_rng(0).normal(size=(6, 50, 3)))
    result = foldbn.convert(tmp_path / "m.keras", to=("onnx",), bench=False, samples=own)
    assert result.artifacts[0].verification.passed


SCALINGS: dict[str, Any] = {
    "0 to 1": layers.Rescaling(1 / 255),
    "-1 to 1": layers.Rescaling(1 / 127.5, offset=-1.0),
    "mean and deviation": layers.Normalization(
        mean=[123.7, 116.3, 103.5], variance=[58.4**2, 57.1**2, 57.4**2]
    ),
    "mean alone": keras.applications.resnet50.preprocess_input,
}


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
def test_pixels(tmp_path, scaling):
    """A file is wrong if it takes the dark pixels, or those of a medium grey, for 0."""
    x = keras.Input((6, 6, 3), name="x")
    y = layers.BatchNormalization()(layers.Conv2D(4, 3)(scaling(x)))
    original, proto = exported(randomise(keras.Model(x, layers.Flatten()(y))), tmp_path)
    assert passes(original, proto)
    for least, most in ((13, 103), (110, 140)):
        assert not passes(original, without_pixels(proto, least, most))


def without_pixels(proto: onnx.ModelProto, least: float, most: float) -> onnx.ModelProto:
    """Return a file that reads 0 where a number of its input `x` is between two others."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    for node in result.graph.node:
        node.input[:] = ["cut" if name == "x" else name for name in node.input]
    for name, number in (("least", least), ("most", most), ("none", 0)):
        result.graph.initializer.append(numpy_helper.from_array(np.float32(number), name))
    for kind, inputs, output in (
        ("Where", ["between", "none", "x"], "cut"),
        ("And", ["above", "below"], "between"),
        ("Less", ["x", "most"], "below"),
        ("Greater", ["x", "least"], "above"),
    ):
        result.graph.node.insert(0, helper.make_node(kind, inputs, [output]))
    return result


@pytest.mark.parametrize(
    ("dtype", "rows", "least", "greatest"),
    [
        ("int32", 0, 0, 1),
        ("int64", 30, 0, 29),
        ("uint8", 0, 0, 255),
        ("int8", 0, -128, 127),
        ("int8", 1000, 0, 127),
        ("bool", 0, 0, 1),
    ],
)
def test_integers(dtype, rows, least, greatest):
    """Rows of a table, any byte, or 0 and 1, and never more than the type holds."""
    sets = generate_samples([Port("x", "x", (None, 99), dtype)], 0, ranges={"x": Range(rows)})
    values = np.concatenate([each["x"].ravel() for each in sets]).astype(int)
    assert (values.min(), values.max()) == (least, greatest)


def test_floats_beside_indices():
    """Of an input of floats, only the numbers that look up a table are whole."""
    port, rows = Port("x", "x", (None, 4), "float32"), np.array([0, 5, 0, 70])
    sets = generate_samples([port], 0, ranges={"x": Range(rows)})
    values = np.concatenate([each["x"] for each in sets])
    assert values.dtype == np.float32
    assert list(values.max(axis=0)[[1, 3]]) == [4, 69]
    assert (values.min(axis=0)[[0, 2]] < -2).all()
    whole = (values == np.trunc(values)).mean(axis=0)
    assert list(whole == 1) == [False, True, False, True]


@pytest.mark.parametrize(("dtype", "last"), [("bfloat16", 255), ("float16", 999)])
def test_indices_in_half_precision(dtype, last):
    """None is drawn that the type would round to another one."""
    port = Port("x", "x", (None, 50), dtype)
    for each in generate_samples([port], 0, ranges={"x": Range(1000)}):
        assert (each["x"] == each["x"].astype(dtype).astype(np.float32)).all()
        assert each["x"].max() == last


def test_half_precision_holds_what_is_drawn():
    """A scale of 1e-6 asks for more than float16 has."""
    port = Port("x", "x", (None, 5), "float16")
    for each in generate_samples([port], 0, ranges={"x": Range(scale=1e-6)}):
        assert np.isfinite(each["x"]).all()

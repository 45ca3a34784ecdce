"""What a graph tells of the values that its inputs are meant to take."""

from __future__ import annotations

import tracemalloc
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from foldbn.frontends.keras_files import freeze_model
from foldbn.frontends.loading import simplify
from foldbn.frontends.ranges import Range, ranges_of
from foldbn.results import Source


def ranges(inputs: Any, outputs: Any) -> dict[str, Range]:
    """Return what is known of the inputs of a Keras model."""
    frozen = freeze_model(keras.Model(inputs, outputs))
    return ranges_of(simplify(Source("in memory", "keras-h5", ""), frozen).simplified)


def test_the_smallest_table_that_an_index_looks_up():
    """An index that is good for both of two tables is one of the smaller."""
    ids = keras.Input((4,), dtype="int32", name="ids")
    both = [layers.Embedding(rows, 3)(ids) for rows in (50, 20)]
    assert ranges(ids, layers.Add()(both))["ids"].rows == 20


COLUMNS: dict[str, tuple[tuple[int | None, ...], Any, Any]] = {
    "slices": ((3,), lambda x: (x[:, 0], x[:, 2]), [4, 0, 9]),
    "slices from the end": ((3,), lambda x: (x[:, -1], x[:, :2]), [9, 9, 4]),
    "overlapping": ((3,), lambda x: (x[:, :2], x), [4, 4, 9]),
    "split": ((2,), lambda x: ops.split(x, 2, axis=1), [4, 9]),
    "unstacked": ((2,), lambda x: ops.unstack(x, axis=1), [4, 9]),
    "turned around": ((3,), lambda x: (ops.flip(x, 1)[:, :1], x[:, :1]), [9, 0, 4]),
    "chosen": ((3,), lambda x: (ops.take(x, [2, 1], 1), x[:, 0]), [9, 4, 4]),
    "transposed": (
        (2, 2),
        lambda x: (ops.transpose(x, (0, 2, 1))[:, 0], x[:, 1, 1]),
        [[4, 0], [4, 9]],
    ),
    "reshaped": ((2, 2), lambda x: (ops.reshape(x, (-1, 4))[:, 1], x[:, 1]), [[0, 4], [9, 9]]),
    "behind a start": (
        (2,),
        lambda x: (ops.pad(x, ((0, 0), (1, 0)))[:, :2], x[:, 1]),
        [4, 9],
    ),
    "of any length": ((None, 2), lambda x: (x[..., 0], x[..., 1]), [[4, 9]]),
    "one step later": ((None,), lambda x: (x[:, 1:], x[:, :-1]), [4]),
    "beyond the lengths that are tried": ((None,), lambda x: (x[:, :40:39], x), [4]),
}


@pytest.mark.parametrize(("shape", "parts", "wanted"), COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_rows_of_each_column(shape, parts, wanted, dtype):
    """Wherever a number goes, it may choose from the rows of the tables that it looks up there."""
    x = keras.Input(shape, dtype=dtype, name="x")
    small, great = parts(x)
    found = ranges(x, [layers.Embedding(4, 3)(small), layers.Embedding(9, 3)(great)])["x"]
    np.testing.assert_array_equal(found.rows, wanted)


def test_rows_of_two_inputs_in_one_tensor():
    """Each input has the rows for what it gives to a tensor of both."""
    a, b = (keras.Input((2,), dtype="int32", name=name) for name in "ab")
    both = layers.Concatenate()([a, b])
    y = [layers.Embedding(rows, 3)(both[:, at]) for rows, at in ((5, 0), (6, 1), (7, 2), (8, 3))]
    found = ranges([a, b], y)
    np.testing.assert_array_equal(found["a"].rows, [5, 6])
    np.testing.assert_array_equal(found["b"].rows, [7, 8])


def test_rows_of_a_fixed_batch():
    """The positions are those of one sample, however many the model takes."""
    x = keras.Input(batch_shape=(3, 2), dtype="int32", name="x")
    found = ranges(x, [layers.Embedding(4, 3)(x[:, 1]), layers.Embedding(9, 3)(x[:, 0])])["x"]
    np.testing.assert_array_equal(found.rows, [9, 4])


def test_a_column_that_is_computed_with():
    """Nobody knows of it, and its neighbours keep their rows."""
    x = keras.Input((2,), dtype="int32", name="x")
    y = [layers.Embedding(9, 3)(x[:, 0]), layers.Embedding(4, 3)(x[:, 1] + 1)]
    np.testing.assert_array_equal(ranges(x, y)["x"].rows, [9, 0])


def test_one_hot():
    """What is spread over places has as many values as there are places."""
    ids = keras.Input((4,), dtype="int64", name="ids")
    assert ranges(ids, layers.Dense(2)(ops.one_hot(ids, 7)))["ids"].rows == 7


@pytest.mark.parametrize("change", [lambda ids: ids + 1, lambda ids: 2 * ids])
def test_an_index_that_is_computed_with(change):
    """Nobody knows which indices are good for what is looked up after arithmetic."""
    ids = keras.Input((4,), dtype="int32", name="ids")
    assert ranges(ids, layers.Embedding(50, 3)(change(ids)))["ids"].rows == 0


def test_scale_and_shift_of_an_image():
    """What happens to pixels before anything else is one map."""
    x = keras.Input((4, 4, 3), name="x")
    y = layers.Rescaling(1 / 255, offset=[0.1, 0.2, 0.3])(layers.Rescaling(2.0)(x))
    found = ranges(x, layers.Conv2D(2, 3)(y))["x"]
    np.testing.assert_allclose(found.scale, 2 / 255, rtol=1e-6)
    np.testing.assert_allclose(np.broadcast_to(found.shift, 3), [0.1, 0.2, 0.3], rtol=1e-6)


def test_normalization_by_feature():
    """The statistics of each feature tell where it lies."""
    x = keras.Input((3,), name="x")
    y = layers.Normalization(mean=[10.0, -20.0, 0.5], variance=[4.0, 100.0, 0.01])(x)
    found = ranges(x, layers.Dense(2)(y))["x"]
    np.testing.assert_allclose(np.ravel(found.scale), [0.5, 0.1, 10], rtol=1e-6)
    np.testing.assert_allclose(np.ravel(found.shift), [-5, 2, -5], rtol=1e-6)


def test_two_readers():
    """What is read twice is meant for neither reader alone."""
    x = keras.Input((3,), name="x")
    assert ranges(x, layers.Add()([layers.Rescaling(0.01)(x), x]))["x"] == Range()


def test_a_mean_far_above_the_deviation():
    """Around a mean of ten thousand deviations float32 has no digits left to compare."""
    x = keras.Input((2,), name="x")
    y = layers.Normalization(mean=[2e4, 0.0], variance=[4.0, 1.0])(x)
    assert ranges(x, layers.Dense(2)(y))["x"] == Range()


def test_a_mean_alone():
    """What only a mean is subtracted from is of the mean's size, however great that is."""
    x = keras.Input((2,), name="x")
    found = ranges(x, layers.Dense(2)(x - np.float32([1e4, 0.5])))["x"]
    np.testing.assert_allclose(found.span, [1e4, 3], rtol=1e-6)


def test_one_feature_far_above_its_deviation():
    """The others are drawn from where they lie all the same."""
    x = keras.Input((2,), name="x")
    y = layers.Normalization(mean=[2015.0, 40.0], variance=[9.0, 100.0])(x)
    found = ranges(x, layers.Dense(2)(y))["x"]
    np.testing.assert_allclose(np.ravel(found.scale), [1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(np.ravel(found.shift), [0, -4], rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (8, 3), (8, 1, 1), (8, 8, 3), (1, 8, 8, 3)])
def test_shape_of_a_scale(shape):
    """A scale of any shape that broadcasts against a sample tells of the sample."""
    x = keras.Input((8, 8, 3), name="x")
    y = x * ops.convert_to_tensor(np.full(shape, 0.01, np.float32))
    found = ranges(x, layers.Conv2D(2, 3)(y))["x"]
    assert np.broadcast_shapes(np.shape(found.scale), (8, 8, 3)) == (8, 8, 3)
    np.testing.assert_allclose(found.scale, 0.01, rtol=1e-6)


@pytest.mark.parametrize("length", [4, None])
def test_colours_in_another_order(length):
    """What is subtracted after the colours have changed places is led back to where they were."""
    x = keras.Input((length, length, 3), name="x")
    y = keras.applications.resnet50.preprocess_input(x)
    found = ranges(x, layers.Conv2D(2, 3)(y))["x"]
    means = np.broadcast_to(found.shift, (4, 4, 3))
    np.testing.assert_allclose(means[0, 0], [-123.68, -116.779, -103.939], rtol=1e-6)
    assert (means == means[0, 0]).all()
    assert (found.scale == 1).all()


def test_memory_of_a_fixed_batch():
    """Where pixels lie is found out in a few batches' worth of memory, not in one for each bit."""
    x = keras.Input(batch_shape=(16, 64, 64, 3), name="x")
    frozen = freeze_model(keras.Model(x, x[..., ::-1] - np.float32([104, 117, 124])))
    model = simplify(Source("in memory", "keras-h5", ""), frozen).simplified
    ranges_of(model)  # what is imported counts once
    tracemalloc.start()
    try:
        assert ranges_of(model)["x"].is_mapped
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 7 * 8 * 16 * 64 * 64 * 3


def test_a_part_that_is_scaled():
    """What is cut off has no scale."""
    x = keras.Input((3,), name="x")
    y = x[:, 1:] * np.float32([2, 5])
    found = ranges(x, layers.Dense(2)(y))["x"]
    np.testing.assert_array_equal(found.scale, [1, 2, 5])


def test_steps_of_an_open_length_that_are_scaled():
    """A scale that is there from the second step on is none of every step."""
    x = keras.Input((None, 2), name="x")
    assert ranges(x, layers.Dense(2)(x[:, 1:] * 0.01))["x"] == Range()


def test_grey_that_becomes_colours():
    """A scale that widens the sample tells of it by its first channel."""
    x = keras.Input((8, 8, 1), name="x")
    y = (x - np.float32([20, 30, 40])) / np.float32([10, 20, 30])
    found = ranges(x, layers.Conv2D(2, 3)(y))["x"]
    assert np.broadcast_shapes(np.shape(found.scale), np.shape(found.shift), (8, 8, 1)) == (8, 8, 1)
    np.testing.assert_allclose(np.ravel(found.scale), 0.1, rtol=1e-6)
    np.testing.assert_allclose(np.ravel(found.shift), -2, rtol=1e-6)


def test_scale_along_an_open_length():
    """What demands five numbers of a length that is drawn as another tells nothing."""
    x = keras.Input((None,), name="x")
    y = (x - np.float32([1, 2, 3, 4, 5])) / np.float32([1, 2, 3, 4, 5])
    assert ranges(x, ops.matmul(y, np.ones((5, 3), np.float32)))["x"] == Range()


@pytest.mark.parametrize("scale", [1 / 255, -2.0])
def test_a_scale_alone_is_given_what_is_not_negative(scale):
    """Pixels from 0 to 255, where they become numbers from 0 to 1."""
    places = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    known = Range(scale=np.array([scale, 1.0]), shift=np.array([0.0, -2.0]))
    inputs = (known.after(places) - known.shift) / known.scale
    assert 0 <= inputs[:, 0].min() < 0.01 * abs(1 / scale)
    assert 0.99 * abs(1 / scale) < inputs[:, 0].max() < abs(1 / scale)
    assert inputs[:, 1].min() < -0.9
    assert inputs[:, 1].max() > 4.9

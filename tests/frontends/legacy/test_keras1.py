"""Keras 1: other names, another order of axes, gates apart."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends.keras_files import load
from foldbn.frontends.legacy.repairs import repaired
from foldbn.frontends.legacy.writers import Writer
from tests.frontends.legacy.files import computed, write

RNG = np.random.default_rng(3)
KERAS_1 = Writer((1, 2), stand_alone=True)


def sequential(*layers):
    """Return a Sequential model as Keras 1 writes it."""
    return {"class_name": "Sequential", "config": list(layers)}


def layer(kind, name, shape=None, **config):
    """Return a layer as Keras 1 writes it; `shape` is the first one's."""
    first = {} if shape is None else {"batch_input_shape": [None, *shape], "input_dtype": "float32"}
    return {"class_name": kind, "config": {"name": name, "trainable": True, **first, **config}}


def outputs(tmp_path, model, weights, *inputs, version="1.2.2"):
    """Return what a file of Keras 1 computes."""
    path = write(tmp_path / "m.h5", model, weights, version=version)
    return computed(load(path, "keras-h5"), *inputs)


@pytest.mark.parametrize(
    ("kind", "config", "wanted"),
    [
        (
            "Convolution2D",
            {"nb_filter": 8, "nb_row": 3, "nb_col": 2, "subsample": [2, 2], "border_mode": "same",
             "dim_ordering": "th", "bias": True, "W_regularizer": None, "init": "he_normal"},
            {"kind": "Conv2D", "filters": 8, "kernel_size": [3, 2], "strides": [2, 2],
             "padding": "same", "data_format": "channels_first", "use_bias": True},
        ),
        (
            "AtrousConvolution1D",
            {"nb_filter": 8, "filter_length": 3, "atrous_rate": 2, "subsample_length": 1},
            {"kind": "Conv1D", "filters": 8, "kernel_size": 3, "dilation_rate": 2, "strides": 1,
             "data_format": "channels_last"},
        ),
        (
            "Convolution3D",
            {"nb_filter": 8, "kernel_dim1": 1, "kernel_dim2": 2, "kernel_dim3": 3,
             "dim_ordering": "tf"},
            {"kind": "Conv3D", "filters": 8, "kernel_size": [1, 2, 3],
             "data_format": "channels_last"},
        ),
        (
            "Embedding",
            {"input_dim": 9, "output_dim": 4, "dropout": 0.1, "input_length": 3},
            {"kind": "Embedding", "input_dim": 9, "output_dim": 4},
        ),
        (
            "MaxPooling1D",
            {"pool_length": 2, "stride": 2, "border_mode": "valid"},
            {"kind": "MaxPooling1D", "pool_size": 2, "strides": 2, "padding": "valid",
             "data_format": "channels_last"},
        ),
        (
            "LSTM",
            {"output_dim": 3, "inner_activation": "hard_sigmoid", "inner_init": "orthogonal",
             "forget_bias_init": "one", "dropout_W": 0.1, "dropout_U": 0.2, "input_dim": 5,
             "consume_less": "cpu", "U_regularizer": None},
            {"kind": "LSTM", "units": 3, "recurrent_activation": "hard_sigmoid", "dropout": 0.1,
             "recurrent_dropout": 0.2},
        ),
        (
            "ZeroPadding2D",
            {"padding": [1, 2, 3, 4], "dim_ordering": "tf"},
            {"kind": "ZeroPadding2D", "padding": [[1, 2], [3, 4]],
             "data_format": "channels_last"},
        ),
        (
            "ZeroPadding2D",
            {"padding": {"top_pad": 1, "left_pad": 2}, "dim_ordering": "tf"},
            {"kind": "ZeroPadding2D", "padding": [[1, 0], [2, 0]],
             "data_format": "channels_last"},
        ),
        (
            "ZeroPadding1D",
            {"padding": {"left_pad": 1, "right_pad": 2}},
            {"kind": "ZeroPadding1D", "padding": [1, 2], "data_format": "channels_last"},
        ),
        ("Merge", {"mode": "concat", "concat_axis": 2}, {"kind": "Concatenate", "axis": 2}),
        ("Merge", {"mode": "dot", "dot_axes": 1}, {"kind": "Dot", "axes": 1}),
        ("Merge", {"mode": "dot", "dot_axes": [[1], [2]]}, {"kind": "Dot", "axes": [1, 2]}),
        ("UpSampling1D", {"length": 3}, {"kind": "UpSampling1D", "size": 3}),
        ("Dropout", {"p": 0.5}, {"kind": "Dropout"}),
        ("BatchNormalization", {"mode": 0, "axis": 1}, {"kind": "BatchNormalization", "axis": 1}),
    ],
)  # fmt: skip
def test_a_layer_gets_its_later_name_and_arguments(kind, config, wanted):
    """Keras 2 renamed them all."""
    found = repaired(kind, {"name": "it", **config}, KERAS_1)
    assert {"kind": found.kind, **found.config} == {"name": "it", **wanted}


@pytest.mark.parametrize("mode", [1, 2])
def test_a_normalization_by_the_batch_is_refused(mode):
    """Mode 1 and 2 take the statistics of what they are given, at inference as well."""
    with pytest.raises(Unsupported, match=r"'bn' \(BatchNormalization\) has mode 1 or 2"):
        repaired("BatchNormalization", {"name": "bn", "mode": mode}, KERAS_1)


@pytest.mark.parametrize("mode", ["cos", ["4wAAAA"], None])
def test_a_merge_by_a_function_is_refused(mode):
    """It would be stored code."""
    with pytest.raises(Unsupported, match=r"'m' \(Merge\)"):
        repaired("Merge", {"name": "m", "mode": mode}, KERAS_1)


def test_a_file_that_does_not_say_its_version_is_known_by_its_arguments(tmp_path):
    """Keras 1 began to write its version late."""
    kernel = RNG.normal(size=(4, 3))
    model = sequential(layer("Dense", "dense_1", [4], output_dim=3, bias=False))
    x = RNG.normal(size=(2, 4))
    (found,) = outputs(tmp_path, model, {"dense_1": [("dense_1_W:0", kernel)]}, x, version=None)
    np.testing.assert_allclose(found, x @ kernel, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("old", [False, True])
def test_kernels_of_conv1d_have_a_second_window_axis(tmp_path, old):
    """[width, 1, in, out], and before 1.1 [out, in, width, 1]."""
    kernel = RNG.normal(size=(3, 1, 2, 5))
    stored = kernel.transpose(3, 2, 0, 1) if old else kernel
    config = {"nb_filter": 5, "filter_length": 3, "border_mode": "valid", "bias": False}
    model = sequential(layer("Convolution1D", "c", [3, 2], **config))
    x = RNG.normal(size=(2, 3, 2))
    (found,) = outputs(tmp_path, model, {"c": [("c_W:0", stored)]}, x)
    truth = np.einsum("ntc,tco->no", x, kernel[:, 0])[:, None]
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)


def test_kernels_with_channels_first_are_turned(tmp_path):
    """[out, in, rows, columns]."""
    stored = RNG.normal(size=(5, 2, 3, 3))
    config = {"nb_filter": 5, "nb_row": 3, "nb_col": 3, "border_mode": "valid", "bias": False}
    model = sequential(layer("Convolution2D", "c", [2, 3, 3], dim_ordering="th", **config))
    x = RNG.normal(size=(2, 2, 3, 3))
    (found,) = outputs(tmp_path, model, {"c": [("c_W:0", stored)]}, x)
    truth = np.einsum("ncij,ocij->no", x, stored)
    np.testing.assert_allclose(found.reshape(2, 5), truth, rtol=1e-4, atol=1e-4)


def _transposed(out=3, declared=4):
    return sequential(
        layer(
            "Deconvolution2D",
            "d",
            [2, 2, 5],
            nb_filter=out,
            nb_row=2,
            nb_col=2,
            subsample=[2, 2],
            border_mode="valid",
            dim_ordering="tf",
            bias=False,
            output_shape=[None, declared, declared, out],
        )
    )


def test_kernels_of_transposed_convolutions_are_turned(tmp_path):
    """[rows, columns, in, out] in Keras 1."""
    stored = RNG.normal(size=(2, 2, 5, 3))
    x = RNG.normal(size=(1, 2, 2, 5))
    (found,) = outputs(tmp_path, _transposed(), {"d": [("d_W:0", stored)]}, x)
    truth = np.einsum("nrcp,ijpo->nricjo", x, stored).reshape(1, 4, 4, 3)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)


def test_a_transposed_convolution_of_another_size_is_refused(tmp_path):
    """Keras 1 let the user say the size; Keras 3 computes it."""
    weights = {"d": [("d_W:0", RNG.normal(size=(2, 2, 5, 3)))]}
    with pytest.raises(Unsupported, match=r"'d'.*should give \(None, 5, 5, 3\)"):
        outputs(tmp_path, _transposed(declared=5), weights, np.zeros((1, 2, 2, 5)))


def _sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def _gates(names):
    return {
        gate: (RNG.normal(size=(2, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=3))
        for gate in names
    }


def _stored(gates, name="rnn"):
    kinds = "WUb"
    return [
        (f"{name}_{kind}_{gate}:0", array)
        for gate, arrays in gates.items()
        for kind, array in zip(kinds, arrays, strict=True)
    ]


def _lstm(x, gates):
    h = c = np.zeros((len(x), 3))
    for step in x.swapaxes(0, 1):
        i, g, f, o = (step @ w + h @ u + b for w, u, b in gates.values())
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
    return h


RECURRENT = {"output_dim": 3, "activation": "tanh", "inner_activation": "hard_sigmoid"}


def test_an_lstm_in_twelve_arrays(tmp_path):
    """Its gates stand apart, in the order input, candidate, forget, output."""
    gates = _gates("icfo")
    x = RNG.normal(size=(2, 4, 2))
    model = sequential(layer("LSTM", "rnn", [4, 2], **RECURRENT))
    (found,) = outputs(tmp_path, model, {"rnn": _stored(gates)}, x)
    np.testing.assert_allclose(found, _lstm(x, gates), rtol=1e-4, atol=1e-5)


def test_two_lstms_in_twenty_four_arrays(tmp_path):
    """Bidirectional keeps those of the forward layer first."""
    one, other = _gates("icfo"), _gates("icfo")
    x = RNG.normal(size=(2, 4, 2))
    inner = layer("LSTM", "rnn", **RECURRENT)
    model = sequential(layer("Bidirectional", "both", [4, 2], layer=inner, merge_mode="concat"))
    stored = _stored(one, "forward_rnn") + _stored(other, "backward_rnn")
    (found,) = outputs(tmp_path, model, {"both": stored}, x)
    truth = np.concatenate([_lstm(x, one), _lstm(x[:, ::-1], other)], axis=1)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5)


def test_a_gru_in_nine_arrays(tmp_path):
    """Its gates stand in the order update, reset, candidate; the reset comes first."""
    gates = _gates("zrh")
    x = RNG.normal(size=(2, 4, 2))
    h = np.zeros((2, 3))
    for step in x.swapaxes(0, 1):
        (wz, uz, bz), (wr, ur, br), (wh, uh, bh) = gates.values()
        z, r = _sigmoid(step @ wz + h @ uz + bz), _sigmoid(step @ wr + h @ ur + br)
        h = z * h + (1 - z) * np.tanh(step @ wh + (r * h) @ uh + bh)
    model = sequential(layer("GRU", "rnn", [4, 2], **RECURRENT))
    (found,) = outputs(tmp_path, model, {"rnn": _stored(gates)}, x)
    np.testing.assert_allclose(found, h, rtol=1e-4, atol=1e-5)


def test_a_sequential_model_that_begins_with_a_merge(tmp_path):
    """Each branch has its own input, and the layers of all are in one list of weights."""
    kernels = [RNG.normal(size=(3, 2)) for _ in range(2)]
    branches = [
        sequential(layer("Dense", name, [3], output_dim=2, bias=False)) for name in ("p", "q")
    ]
    merge = layer("Merge", "merge_1", mode="concat", concat_axis=-1, layers=branches)
    model = sequential(merge, layer("Activation", "a", activation="relu"))
    weights = {n: [(f"{n}_W:0", k)] for n, k in zip("pq", kernels, strict=True)}
    x, y = RNG.normal(size=(2, 2, 3))
    (found,) = outputs(tmp_path, model, weights, x, y)
    truth = np.maximum(np.concatenate([x @ kernels[0], y @ kernels[1]], axis=1), 0)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5)

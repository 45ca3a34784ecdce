"""Weights of Theano and cuDNN, and the writers that files name."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.frontends.keras_files import load
from foldbn.frontends.legacy.values import dtype_name, plain
from foldbn.frontends.legacy.writers import Writer, writer_of
from tests.frontends.legacy.files import chain, computed, layer, outputs_of, source, write

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("backend", ["theano", "tensorflow", "cntk"])
def test_windows_of_theano_are_mirrored(tmp_path, backend):
    """It convolves where the others correlate."""
    kernel = RNG.normal(size=(3, 2, 1, 1))
    config = {"filters": 1, "kernel_size": [3, 2], "use_bias": False, "padding": "valid"}
    model = chain(source("x", 3, 2, 1), layer("Conv2D", "c", "x", **config))
    x = RNG.normal(size=(1, 3, 2, 1))
    weights = {"c": [("c/kernel", kernel)]}
    (found,) = outputs_of(tmp_path / "m.h5", model, weights, x, version="2.2.4", backend=backend)
    seen = kernel[::-1, ::-1] if backend == "theano" else kernel
    np.testing.assert_allclose(found.item(), (x[0] * seen[..., 0]).sum(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_layers_of_cudnn_compute_as_the_others(tmp_path, kind):
    """The same numbers, stored in cuDNN's way, give the same outputs."""
    gates = {"LSTM": 4, "GRU": 3}[kind]
    kernel, recurrent = RNG.normal(size=(3, 2 * gates)), RNG.normal(size=(2, 2 * gates))
    bias = RNG.normal(size=(2, 2 * gates))
    x = RNG.normal(size=(2, 5, 3))

    def run(name, layer_kind, arrays, **config):
        model = chain(source("x", 5, 3), layer(layer_kind, "r", "x", units=2, **config))
        parts = ("kernel", "recurrent_kernel", "bias")
        weights = {"r": [(f"r/{p}:0", a) for p, a in zip(parts, arrays, strict=True)]}
        return outputs_of(tmp_path / name, model, weights, x)[0]

    extra = {"reset_after": True} if kind == "GRU" else {}
    usual = bias if kind == "GRU" else bias.sum(axis=0)
    truth = run("a.h5", kind, (kernel, recurrent, usual), recurrent_activation="sigmoid", **extra)
    states = np.hstack([part.T for part in np.hsplit(recurrent, gates)])
    stored = (np.hstack([_back(p) for p in np.hsplit(kernel, gates)]), states, bias.ravel())
    np.testing.assert_allclose(run("b.h5", f"CuDNN{kind}", stored), truth, rtol=1e-5, atol=1e-6)


def _back(part):
    """Undo what loading does: ``stored.T`` read in Fortran's order is the gate's kernel."""
    return part.reshape(part.T.shape, order="F").T


@pytest.mark.parametrize(
    ("version", "writer"),
    [
        ("1.2.2", Writer((1, 2), stand_alone=True, backend="tensorflow")),
        ("2.2.4", Writer((2, 2), stand_alone=True, backend="tensorflow")),
        ("2.3.0-tf", Writer((2, 3), backend="tensorflow")),
        ("2.4.0", Writer((2, 4), backend="tensorflow")),
        ("2.15.0", Writer((2, 15), backend="tensorflow")),
        ("3.3.3", Writer((3, 3), backend="tensorflow")),
        (None, Writer((2, 0), stand_alone=True)),
    ],
)
def test_the_writer_is_read_from_the_file(tmp_path, version, writer):
    """Stand-alone Keras and tf.keras counted alike, and computed otherwise."""
    config = chain(source("x", 4))
    path = write(tmp_path / "m.h5", config, version=version)
    assert writer_of(path, "keras-h5", config) == writer


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        ({"class_name": "__numpy__", "config": {"value": 0.5, "dtype": "float32"}}, 0.5),
        ({"type": "ndarray", "value": [1, 2]}, [1, 2]),
        ({"class_name": "__tuple__", "items": [1, {"type": "ndarray", "value": 2}]}, [1, 2]),
        ({"class_name": "TensorShape", "items": [None, 3]}, [None, 3]),
        ({"class_name": "L2", "config": {"l2": 1}}, {"class_name": "L2", "config": {"l2": 1}}),
        ([1, "a", None], [1, "a", None]),
    ],
)
def test_wrapped_values_are_unwrapped(stored, value):
    """What JSON has no form for was wrapped in several ways."""
    assert plain(stored) == value


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("float32", "float32"),
        (None, None),
        ({"class_name": "Policy", "config": {"name": "mixed_float16"}}, "mixed_float16"),
        (
            {"class_name": "DTypePolicy", "config": {"name": "float32"}, "module": "keras"},
            "float32",
        ),
        ({"class_name": "Policy", "config": {"name": "infer"}}, None),
    ],
)
def test_policies_are_named(stored, name):
    """A policy is stored as an object, and taken by its name."""
    assert dtype_name(stored) == name


def test_a_frozen_model_names_the_layers_of_the_file(tmp_path):
    """Without renaming, names are the file's own."""
    config = chain(source("in", 4), layer("Dense", "out", "in", units=4, use_bias=False))
    found = load(
        write(tmp_path / "m.h5", config, {"out": [("out/kernel:0", np.eye(4))]}), "keras-h5"
    )
    assert [port.name for port in (*found.inputs, *found.outputs)] == ["in", "out"]
    np.testing.assert_allclose(computed(found, np.ones((1, 4)))[0], np.ones((1, 4)))

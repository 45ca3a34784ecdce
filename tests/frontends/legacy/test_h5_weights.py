"""Every weight of an .h5 file goes to its own place, and no place stays empty."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.errors import Unreadable, Unsupported
from foldbn.frontends.keras_files import load
from foldbn.frontends.legacy.matching import Stored, is_bookkeeping
from tests.frontends.legacy.files import chain, computed, layer, source, write

RNG = np.random.default_rng(2)
X = RNG.normal(size=(3, 4)).astype(np.float32)
ONE, TWO = RNG.normal(size=(4, 4)), RNG.normal(size=(4, 4))


def dense(name, *inbound, **config):
    """Return a Dense layer of four units."""
    return layer("Dense", name, *inbound, units=4, **config)


def nested(*layers):
    """Return a model that calls a nested one of the given layers."""
    inner = chain(source("y", 4), *layers)
    inner |= {"name": "inner", "inbound_nodes": [[["x", 0, 0, {}]]]}
    inner["config"]["name"] = "inner"
    model = chain(source("x", 4), inner)
    model["config"]["output_layers"] = [["inner", 1, 0]]
    return model


TWICE = (dense("p", "y", use_bias=False), dense("q", "p", use_bias=False))


@pytest.mark.parametrize(
    "names",
    [
        ("p/kernel:0", "q/kernel:0"),
        ("inner/p/kernel:0", "inner/q/kernel:0"),
        ("p_3/kernel:0", "q_3/kernel:0"),
        ("param_0", "param_1"),
    ],
)
def test_weights_of_nested_layers_are_told_by_name_or_position(tmp_path, names):
    """A graph that held the layers twice has numbers behind their names."""
    weights = {"inner": list(zip(names, (ONE, TWO), strict=True))}
    found = load(write(tmp_path / "m.h5", nested(*TWICE), weights), "keras-h5")
    np.testing.assert_allclose(computed(found, X)[0], X @ ONE @ TWO, rtol=1e-4, atol=1e-4)


def test_names_that_tell_more_than_the_position_are_believed(tmp_path):
    """Two weights of one shape in another order than the layers' would go unnoticed."""
    weights = {"inner": [("q/kernel:0", TWO), ("p/kernel:0", ONE)]}
    found = load(write(tmp_path / "m.h5", nested(*TWICE), weights), "keras-h5")
    np.testing.assert_allclose(computed(found, X)[0], X @ ONE @ TWO, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("named", [True, False])
def test_what_trains_comes_first_in_a_nested_model(tmp_path, named):
    """A frozen layer's weights stand behind all others."""
    layers = (dense("p", "y", use_bias=False, trainable=False), TWICE[1])
    names = ("q/kernel:0", "p/kernel:0") if named else ("param_0", "param_1")
    weights = {"inner": [(names[0], TWO), (names[1], ONE)]}
    found = load(write(tmp_path / "m.h5", nested(*layers), weights), "keras-h5")
    np.testing.assert_allclose(computed(found, X)[0], X @ ONE @ TWO, rtol=1e-4, atol=1e-4)


def test_weights_of_one_layer_go_by_their_names(tmp_path):
    """Gamma and beta of a BatchNormalization have one shape."""
    parts = {"gamma": 2.0, "beta": 3.0, "moving_mean": 1.0, "moving_variance": 4.0}
    stored = [(f"bn/{name}:0", np.full(4, parts[name])) for name in sorted(parts)]
    model = chain(source("x", 4), layer("BatchNormalization", "bn", "x", axis=[1], epsilon=0.0))
    found = load(write(tmp_path / "m.h5", model, {"bn": stored}), "keras-h5")
    np.testing.assert_allclose(computed(found, X)[0], (X - 1) + 3, atol=1e-3)


def test_names_of_other_weights_are_refused(tmp_path):
    """What says gamma is no kernel, whatever its shape."""
    model = chain(source("x", 4), dense("d", "x", use_bias=False))
    path = write(tmp_path / "m.h5", model, {"d": [("d/gamma:0", ONE)]})
    with pytest.raises(Unsupported, match=r"gamma for 'd'.*takes kernel"):
        load(path, "keras-h5")


KERNEL, BIAS = ("d/kernel:0", ONE), ("d/bias:0", np.zeros(4))


@pytest.mark.parametrize(
    ("weights", "kind", "words"),
    [
        ({}, Unreadable, "lacks the weights of layer 'd'"),
        ({"d": [KERNEL]}, Unsupported, "1 weights for 'd'.*takes 2"),
        ({"d": [KERNEL, BIAS, BIAS]}, Unsupported, "3 weights for 'd'.*takes 2"),
        ({"d": [("d/kernel:0", ONE[:2]), BIAS]}, Unsupported, r"shape \(2, 4\), and \(4, 4\)"),
        ({"d": [KERNEL, BIAS], "e": [BIAS]}, Unsupported, "layer it lacks: 'e'"),
        ({"d": [KERNEL, BIAS], "x": [BIAS]}, Unsupported, "layer it lacks: 'x'"),
    ],
)
def test_counts_shapes_and_places_are_checked(tmp_path, weights, kind, words):
    """A model with some random weights in it would be worse than none."""
    model = chain(source("x", 4), dense("d", "x"))
    weights = {key: [(n if i < 2 else f"{n}_2", a) for i, (n, a) in enumerate(each)]
               for key, each in weights.items()}  # fmt: skip
    with pytest.raises(kind, match=words):
        load(write(tmp_path / "m.h5", model, weights), "keras-h5")


def test_weights_of_no_layer_are_refused(tmp_path):
    """Variables of the model itself were used by some op that is not rebuilt."""
    import h5py

    path = write(tmp_path / "m.h5", chain(source("x", 4), dense("d", "x")), {"d": [KERNEL, BIAS]})
    with h5py.File(path, "r+") as file:
        group = file["model_weights"].create_group("top_level_model_weights")
        group.attrs["weight_names"] = [b"loose:0"]
        group["loose:0"] = np.zeros(3)
    with pytest.raises(Unsupported, match="belong to no layer"):
        load(path, "keras-h5")


def test_long_lists_of_names_are_read_whole(tmp_path):
    """HDF5 attributes end at 64 kB; longer lists are split."""
    import h5py

    path = write(tmp_path / "m.h5", chain(source("x", 4), dense("d", "x")), {"d": [KERNEL, BIAS]})
    with h5py.File(path, "r+") as file:
        attributes = file["model_weights"]["d"].attrs
        del attributes["weight_names"]
        attributes["weight_names0"] = [b"d/kernel:0"]
        attributes["weight_names1"] = [b"d/bias:0"]
    np.testing.assert_allclose(computed(load(path, "keras-h5"), X)[0], X @ ONE, atol=1e-4)


def test_statistics_of_normalization_are_put_to_use(tmp_path):
    """Their names have no scope; the layer computes with what it derives from them."""
    model = chain(source("x", 4), layer("Normalization", "norm", "x", axis=[-1]))
    stored = [("mean:0", np.full(4, 2.0)), ("variance:0", np.full(4, 4.0)), ("count:0", 7)]
    found = load(write(tmp_path / "m.h5", model, {"norm": stored}), "keras-h5")
    np.testing.assert_allclose(computed(found, X)[0], (X - 2) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dense_1/kernel:0", "kernel"),
        ("dense_1/kernel_2:0", "kernel"),
        ("dense_1_W:0", "kernel"),
        ("dense_1_W_2:0", "kernel"),
        ("batchnormalization_1_running_std_2:0", "moving_variance"),
        ("batchnormalization_1_gamma:0", "gamma"),
        ("a/b/lstm_cell_1/recurrent_kernel:0", "recurrent_kernel"),
        ("separableconvolution2d_1_pointwise_kernel:0", "pointwise_kernel"),
        ("prelu_1_alphas:0", "alpha"),
        ("param_0", "param"),
    ],
)
def test_kinds_are_read_from_names(name, kind):
    """Scopes, numbers and Keras 1's names for the same things are seen through."""
    assert Stored(name, np.zeros(1)).kind == kind


def test_states_of_training_are_no_weights():
    """Renormalization and random numbers have no place in a model at inference."""
    names = ["bn/renorm_mean:0", "bn/moving_stddev:0", "flip/StateVar:0", "seed_generator_state"]
    assert all(is_bookkeeping(name) for name in names)
    assert not is_bookkeeping("bn/moving_mean:0")

"""A model that loads is called once, and held against what its file declares."""

from __future__ import annotations

import keras
import pytest

from foldbn.errors import Unsafe, Unsupported
from foldbn.frontends.keras_files import load
from foldbn.frontends.legacy.checking import check_loaded
from tests.frontends.legacy.files import chain, layer, source, write


def model_of(*shape, units=3, name="x"):
    """Return a model of one Dense layer."""
    x = keras.Input(shape, name=name)
    return keras.Model(x, keras.layers.Dense(units, name="d")(x))


def declared(*shape, name="x", last="d"):
    """Return the configuration of such a model."""
    return chain(source(name, *shape), layer("Dense", last, name, units=3))


@pytest.mark.parametrize("shape", [(4,), (None, 4), (None, None, 4), (None, None, None, 4)])
def test_a_model_as_declared_passes(shape):
    """Lengths that are left open are tried."""
    check_loaded(model_of(*shape), declared(*shape), "m.h5", {})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (declared(5), r"inputs are x \(None, 4\).*declares x \(None, 5\)"),
        (declared(4, 1), "inputs"),
        (declared(4, name="y"), "inputs are x.*declares y"),
        (declared(4, last="e"), "outputs are d.*declares e"),
    ],
)
def test_another_model_than_declared_is_refused(config, words):
    """Names, order and shapes are compared."""
    with pytest.raises(Unsupported, match=words):
        check_loaded(model_of(4), config, "m.h5", {})


def test_an_axis_too_many_is_refused():
    """So Keras 3 loads a Sequential file without an InputLayer."""
    config = {
        "class_name": "Sequential",
        "config": [layer("Dense", "d", batch_input_shape=[None, 4])],
    }
    check_loaded(model_of(4), config, "m.h5", {})
    with pytest.raises(Unsupported, match="loads as another model"):
        check_loaded(model_of(None, 4), config, "m.h5", {})


def test_names_are_compared_as_the_file_has_them():
    """A layer may have been renamed."""
    check_loaded(model_of(4, name="in_x"), declared(4, name="in/x"), "m.h5", {"in_x": "in/x"})


def test_a_stateful_layer_is_refused_by_name():
    """It computes something else at each call."""
    inner = keras.Sequential([keras.Input((3, 4), 2), keras.layers.GRU(3, stateful=True, name="g")])
    x = keras.Input((3, 4), 2, name="x")
    with pytest.raises(Unsupported, match=r"'g'.*stateful"):
        check_loaded(keras.Model(x, inner(x)), {}, "m.h5", {})


class Liar(keras.layers.Layer):
    """Promises another output than it gives, or fails when it is called on numbers."""

    def __init__(self, *, fails=False, **options):
        super().__init__(**options)
        self.fails = fails

    def compute_output_spec(self, x):
        """Promise what was given."""
        return keras.KerasTensor(x.shape, x.dtype)

    def call(self, x):
        """Give less, or fail."""
        if self.fails:
            raise ValueError("no such axis")
        return x[:, :1]


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (False, r"declares the output d \(None, 4\) and gives \(2, 1\)$"),
        (True, r"cannot be called.*axis"),
    ],
)
def test_one_forward_pass_is_made(fails, words):
    """Some models fail at their first call only."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, Liar(fails=fails, name="d")(x))
    with pytest.raises(Unsupported, match=words):
        check_loaded(model, declared(4), "m.h5", {})


def test_only_the_outputs_that_differ_are_named():
    """Of many outputs the first three that differ are told, and how many more there are."""
    x = keras.Input((4,), name="x")
    right = [keras.layers.Dense(4, name=f"right{i}")(x) for i in range(3)]
    wrong = [Liar(name=f"wrong{i}")(x) for i in range(5)]
    model = keras.Model(x, [*right, *wrong])
    with pytest.raises(Unsupported) as caught:
        check_loaded(model, {}, "m.h5", {})
    told = caught.value.message
    assert "right" not in told
    assert "wrong0 (None, 4) and gives (2, 1)" in told
    assert told.endswith("wrong2 (None, 4) and gives (2, 1), and 2 more")


def test_only_the_inputs_that_differ_are_named():
    """A file that declares other inputs is told by these alone."""
    inputs = [keras.Input((4,), name=name) for name in "abc"]
    model = keras.Model(inputs, keras.layers.Add(name="d")(inputs))
    config = chain(source("a", 4), source("b", 5), source("c", 4), layer("Add", "d", "a"))
    config["config"]["input_layers"] = [[name, 0, 0] for name in "abc"]
    with pytest.raises(Unsupported) as caught:
        check_loaded(model, config, "m.h5", {})
    told = "its inputs are b (None, 4), and the file declares b (None, 5)"
    assert caught.value.message.endswith(told)


def test_a_failure_is_told_without_colours():
    """Keras writes in bold, and lists all that the call was given."""
    layers = keras.layers
    start = [layers.Input((8, 8, 1)), layers.Rescaling([0.1, 0.2, 0.3]), layers.Conv2D(4, 3)]
    with pytest.raises(Unsupported, match=r"cannot be called: .*expected axis -1") as caught:
        check_loaded(keras.Sequential(start), {}, "m.keras", {})
    assert "\x1b" not in caught.value.message
    assert "Arguments received" not in caught.value.message


def test_a_configuration_that_asks_for_more_than_the_file_holds_is_refused(tmp_path):
    """A few kilobytes can ask for a kernel of 60 GB; it is never made."""
    import resource

    model = chain(source("x", 100_000), layer("Dense", "d", "x", units=160_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unsafe, match=r"asks for 16,000,000,000 weights and stores 0"):
        load(write(tmp_path / "m.h5", model), "keras-h5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    small = chain(source("x", 4), layer("Dense", "d", "x", units=2, use_bias=False))
    weights = {"d": [("d/kernel:0", [[1.0, 2.0]] * 4)]}
    load(write(tmp_path / "n.h5", small, weights), "keras-h5")  # and nothing is left of it

"""Rebuilt models have the graph of the file: its calls, names, order, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import foldbn
from foldbn.errors import Unreadable, Unsupported
from foldbn.frontends.keras_files import load
from tests.frontends.legacy.files import chain, computed, functional, layer, source, write

X = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
DOUBLE = [("d/kernel:0", 2 * np.eye(4))]


def dense(name, *inbound, **config):
    """Return a Dense layer of four units without a bias."""
    return layer("Dense", name, *inbound, units=4, use_bias=False, **config)


def nested(first, kind="Functional"):
    """Return a model that calls another one twice; its first call has the number `first`."""
    inner = chain(source("y", 4), dense("d", "y"))
    if kind == "Sequential":
        layers = [dense("d", batch_input_shape=[None, 4], dtype="float32")]
        inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": layers}}
    called = {
        **inner,
        "name": "inner",
        "inbound_nodes": [[["x", 0, 0, {}]], [["inner", first, 0, {}]]],
    }
    called["config"] = {**inner["config"], "name": "inner"}
    return functional([source("x", 4), called], [["x", 0, 0]], [["inner", first + 1, 0]])


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("kind", ["Functional", "Sequential"])
def test_calls_of_nested_models_are_counted_as_the_writer_did(tmp_path, kind, first):
    """Some versions count the call by which the nested model was made."""
    path = write(tmp_path / "m.h5", nested(first, kind), {"inner": DOUBLE})
    (found,) = computed(load(path, "keras-h5"), X)
    np.testing.assert_allclose(found, 4 * X, atol=1e-5)


def test_names_and_order_of_inputs_and_outputs_survive(tmp_path):
    """The order is that of the ports, not of the layers."""
    layers = [source("b", 4), source("a", 4), dense("p", "a"), dense("q", "b")]
    model = functional(layers, [["a", 0, 0], ["b", 0, 0]], [["q", 0, 0], ["p", 0, 0]])
    weights = {"p": [("p/kernel:0", np.eye(4))], "q": [("q/kernel:0", 2 * np.eye(4))]}
    found = load(write(tmp_path / "m.h5", model, weights), "keras-h5")
    assert [port.name for port in found.inputs] == ["a", "b"]
    assert [port.name for port in found.outputs] == ["q", "p"]
    q, p = computed(found, X, X + 1)
    np.testing.assert_allclose(p, X, atol=1e-5)
    np.testing.assert_allclose(q, 2 * (X + 1), atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        ({"z": ["p", 0, 0], "a": ["q", 0, 0]}, ["a", "z"]),
        ({"q": ["p", 0, 0], "p": ["q", 0, 0]}, ["p", "q"]),
        ({"p": ["q", 0, 0]}, ["p"]),
        ({"z": [["p", 0, 0], ["q", 0, 0]]}, ["z.0", "z.1"]),
        ([[["p", 0, 0]], [["q", 0, 0], ["p", 0, 0]]], ["p", "q", "p_1"]),
        (["p", 0, 0], ["p"]),
    ],
)
def test_nested_structures_of_outputs_are_flattened_as_keras_does(tmp_path, outputs, names):
    """Dictionaries go by their sorted keys, which are the names; others have their layer's."""
    layers = [source("x", 4), dense("p", "x"), dense("q", "x")]
    weights = {name: [(f"{name}/kernel:0", np.eye(4))] for name in "pq"}
    model = functional(layers, [["x", 0, 0]], outputs)
    found = load(write(tmp_path / "m.h5", model, weights), "keras-h5")
    assert [port.name for port in found.outputs] == names


def test_outputs_whose_keys_are_names_of_other_layers(tmp_path):
    """An output is what its key says, not the layer of that name."""
    layers = [source("x", 4), dense("p", "x"), dense("q", "x")]
    weights = {name: [(f"{name}/kernel:0", k * np.eye(4))] for name, k in (("p", 1), ("q", 2))}
    model = functional(layers, [["x", 0, 0]], {"q": ["p", 0, 0], "p": ["q", 0, 0]})
    found = load(write(tmp_path / "m.h5", model, weights), "keras-h5")
    values = dict(zip([port.name for port in found.outputs], computed(found, X), strict=True))
    np.testing.assert_allclose(values["q"], X, atol=1e-5)
    np.testing.assert_allclose(values["p"], 2 * X, atol=1e-5)


def test_a_model_with_inputs_by_name_is_called_by_name(tmp_path):
    """A nested model takes a dictionary in the order of its own inputs."""
    inner = functional(
        [source("v", 4), source("u", 4), layer("Subtract", "minus", "v", "u")],
        [["v", 0, 0], ["u", 0, 0]],
        [["minus", 0, 0]],
        "inner",
    )
    call = {"u": ["a", 0, 0, {}], "v": ["b", 0, 0, {}]}
    inner |= {"name": "inner", "inbound_nodes": [call]}
    model = functional(
        [source("a", 4), source("b", 4), inner], [["a", 0, 0], ["b", 0, 0]], [["inner", 1, 0]]
    )
    (found,) = computed(load(write(tmp_path / "m.h5", model), "keras-h5"), X, 3 * X)
    np.testing.assert_allclose(found, 2 * X, atol=1e-5)


def test_losses_and_metrics_in_the_graph_are_left_out(tmp_path):
    """What outputs do not depend on is not built, even if Keras does not know it."""
    layers = [
        source("x", 4),
        dense("d", "x"),
        layer("NobodyKnows", "loss", "d"),
        layer("AddLoss", "add_loss", "loss"),
    ]
    model = functional(layers, [["x", 0, 0]], [["d", 0, 0]])
    weights = {"d": DOUBLE, "loss": [("loss/w:0", np.ones(3))]}
    (found,) = computed(load(write(tmp_path / "m.h5", model, weights), "keras-h5"), X)
    np.testing.assert_allclose(found, 2 * X, atol=1e-5)


@pytest.mark.parametrize("said", [False, None, 0])
def test_a_layer_called_without_training_is_called_so(tmp_path, said):
    """``base(x, training=False)`` is how transfer learning is taught."""
    model = chain(source("x", 4), dense("d", ["x", 0, 0, {"training": said}]))
    (found,) = computed(load(write(tmp_path / "m.h5", model, {"d": DOUBLE}), "keras-h5"), X)
    np.testing.assert_allclose(found, 2 * X, atol=1e-5)


def test_a_layer_called_with_training_is_refused_by_name(tmp_path):
    """Its output is another one at each call."""
    model = chain(source("x", 4), layer("Dropout", "mc", ["x", 0, 0, {"training": True}], rate=0.5))
    with pytest.raises(Unsupported, match=r"'mc' \(Dropout\).*training=True"):
        load(write(tmp_path / "m.h5", model), "keras-h5")


def test_tensors_among_the_arguments_are_tensors(tmp_path):
    """Attention takes its masks as a keyword argument: a list of tensors."""
    layers = [
        source("q", 2, 1),
        source("v", 2, 1),
        layer("InputLayer", "mask", batch_input_shape=[None, 2], dtype="bool"),
        layer(
            "Attention",
            "attend",
            ["q", 0, 0, {"mask": [["mask", 0, 0], ["mask", 0, 0]]}],
            ["v", 0, 0, {"mask": [["mask", 0, 0], ["mask", 0, 0]]}],
            use_scale=False,
            causal=False,
        ),
    ]
    ports = [[name, 0, 0] for name in ("q", "v", "mask")]
    model = load(
        write(tmp_path / "m.h5", functional(layers, ports, [["attend", 0, 0]])), "keras-h5"
    )
    q, v = np.ones((1, 2, 1)), np.array([[3, 100]]).reshape(1, 2, 1)
    (found,) = computed(model, q, v, np.array([[True, False]]))
    np.testing.assert_allclose(found.ravel(), [3, 0], atol=1e-4)


def test_attention_takes_query_and_value_by_name(tmp_path):
    """MultiHeadAttention gets its value as a tensor keyword; the shapes it was built on go."""
    layers = [
        source("x", 2, 4),
        layer(
            "MultiHeadAttention",
            "mha",
            ["x", 0, 0, {"value": ["x", 0, 0], "attention_mask": None}],
            num_heads=1,
            key_dim=4,
            query_shape=[None, 2, 4],
            key_shape=[None, 2, 4],
            value_shape=[None, 2, 4],
        ),
    ]
    parts = [("query", (4, 1, 4)), ("key", (4, 1, 4)), ("value", (4, 1, 4))]
    weights = [
        (f"mha/{part}/{kind}:0", np.zeros(shape if kind == "kernel" else shape[1:]))
        for part, shape in parts
        for kind in ("kernel", "bias")
    ]
    weights[4] = (weights[4][0], np.eye(4).reshape(4, 1, 4))
    weights += [
        ("mha/attention_output/kernel:0", np.eye(4).reshape(1, 4, 4)),
        ("mha/attention_output/bias:0", np.zeros(4)),
    ]
    path = write(tmp_path / "m.h5", chain(*layers), {"mha": weights})
    x = np.stack([X[:2], X[1:]])
    (found,) = computed(load(path, "keras-h5"), x)  # no query: the mean of the values
    np.testing.assert_allclose(found, np.repeat(x.mean(axis=1, keepdims=True), 2, 1), atol=1e-5)


def test_a_recurrent_layer_takes_its_initial_state(tmp_path):
    """Keras 2 puts the states behind the sequence in one list of inputs."""
    rnn = layer("SimpleRNN", "rnn", "x", "h", units=2, use_bias=False, activation="linear")
    model = functional(
        [source("x", 3, 2), source("h", 2), rnn], [["x", 0, 0], ["h", 0, 0]], [["rnn", 0, 0]]
    )
    weights = [("rnn/kernel:0", np.eye(2)), ("rnn/recurrent_kernel:0", 0.5 * np.eye(2))]
    found = load(write(tmp_path / "m.h5", model, {"rnn": weights}), "keras-h5")
    (last,) = computed(found, np.zeros((1, 3, 2)), [[8.0, 16.0]])
    np.testing.assert_allclose(last, [[1, 2]])


def test_a_slash_in_a_name_is_shown_and_given_as_it_was(tmp_path):
    """Keras 3 takes no slash; ports and decisions have it all the same."""
    stats = [("gamma", 2.0), ("beta", 1.0), ("moving_mean", 0.0), ("moving_variance", 1.0)]
    weights = {
        "block/d": [("block/d/kernel:0", np.eye(4))],
        "block/bn": [(f"block/bn/{name}:0", np.full(4, value)) for name, value in stats],
    }
    model = chain(
        source("in/x", 4),
        dense("block/d", "in/x"),
        layer("BatchNormalization", "block/bn", "block/d", axis=[1], epsilon=0.0),
    )
    path = write(tmp_path / "m.h5", model, weights)
    found = load(path, "keras-h5")
    assert [port.name for port in (*found.inputs, *found.outputs)] == ["in/x", "block/bn"]
    np.testing.assert_allclose(computed(found, X)[0], 2 * X + 1, atol=1e-3)
    (decision,) = foldbn.inspect(path).decisions
    assert (decision.layer, decision.kind) == ("block/bn", "BatchNormalization")
    assert decision.into == ("block/d",)


def test_several_axes_are_reported_as_a_batch_normalization(tmp_path):
    """The layer of foldbn's own has the name and kind that the file gives it."""
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    model = chain(source("x", 2, 3), layer("BatchNormalization", "bn", "x", axis=[1, 2]))
    weights = {"bn": [(f"bn/{name}:0", np.full((1, 2, 3), 2.0)) for name in names]}
    (decision,) = foldbn.inspect(write(tmp_path / "m.h5", model, weights)).decisions
    assert (decision.layer, decision.kind) == ("bn", "BatchNormalization")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"output_layers": [["gone", 0, 0]]}, "'gone'"),
        ({"output_layers": [["d", 3, 0]]}, "call of 'd'"),
        ({"output_layers": [["d", 0, 2]]}, "output that does not exist"),
        ({"input_layers": [["d", 0, 0]]}, "no InputLayer"),
    ],
)
def test_a_graph_that_does_not_hang_together_is_refused(tmp_path, change, words):
    """References to layers, calls and outputs are checked."""
    model = chain(source("x", 4), dense("d", "x"))
    model["config"] |= change
    with pytest.raises(Unreadable, match=words):
        load(write(tmp_path / "m.h5", model, {"d": DOUBLE}), "keras-h5")


def test_layers_that_wait_for_each_other_are_refused(tmp_path):
    """A circle has no first call."""
    layers = [source("x", 4), dense("p", "q"), dense("q", "p")]
    model = functional(layers, [["x", 0, 0]], [["q", 0, 0]])
    with pytest.raises(Unreadable, match="wait for each other"):
        load(write(tmp_path / "m.h5", model), "keras-h5")


@pytest.mark.parametrize("kind", ["Functional", "Model"])
def test_a_functional_model_has_either_name(tmp_path, kind):
    """Until TF 2.2 it was Model."""
    model = chain(source("x", 4), dense("d", "x")) | {"class_name": kind}
    (found,) = computed(load(write(tmp_path / "m.h5", model, {"d": DOUBLE}), "keras-h5"), X)
    np.testing.assert_allclose(found, 2 * X, atol=1e-5)


def test_an_unknown_model_class_is_refused_and_loads_when_given(tmp_path):
    """A class derived from Model may call its layers as it likes."""
    model = chain(source("x", 4), dense("d", "x")) | {"class_name": "Mine"}
    path = write(tmp_path / "m.h5", model, {"d": DOUBLE})
    with pytest.raises(Unsupported, match="'Mine'"):
        load(path, "keras-h5")
    own = tmp_path / "own.py"
    own.write_text("import keras\nclass Mine(keras.Model):\n    pass\n")
    (found,) = computed(load(path, "keras-h5", own), X)
    np.testing.assert_allclose(found, 2 * X, atol=1e-5)


@pytest.mark.parametrize("form", ["list", "shape in the first layer", "built", "nested"])
def test_a_sequential_model_has_its_input_from_where_the_file_has_it(tmp_path, form):
    """Without an InputLayer, Keras 3 adds an axis to the shape."""
    first = dense("d", batch_input_shape=[None, 4], dtype="float32")
    config = {"name": "seq", "layers": [first]}
    if form == "list":
        config = [first]
    if form == "built":
        config = {"name": "seq", "layers": [dense("d")], "build_input_shape": [32, 4]}
    if form == "nested":
        inner = {"class_name": "Sequential", "config": {"name": "d", "layers": [first]}}
        config = {"name": "seq", "layers": [inner]}
    path = write(tmp_path / "m.h5", {"class_name": "Sequential", "config": config}, {"d": DOUBLE})
    found = load(path, "keras-h5")
    assert [(port.name, port.shape) for port in found.inputs] == [("d_input", (None, 4))]
    np.testing.assert_allclose(computed(found, X)[0], 2 * X, atol=1e-5)

"""Weights of .keras archives of Keras 2: every layout, and nothing missing or left over."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends import loading
from foldbn.frontends.legacy.zip_weights import assign
from foldbn.verification.reference import Evaluator

# What Keras 2 called the parts of a layer, and found in this order.
PARTS = (
    "_key_dense",
    "_output_dense",
    "_query_dense",
    "_value_dense",
    "backward_layer",
    "cell",
    "forward_layer",
    "layer",
)
SNAKES = {
    "Sequential": "sequential",
    "Functional": "functional",
    "Dense": "dense",
    "Conv2D": "conv2d",
    "PReLU": "p_re_lu",
    "ReLU": "re_lu",
    "BatchNormalization": "batch_normalization",
    "Normalization": "normalization",
    "Bidirectional": "bidirectional",
    "TimeDistributed": "time_distributed",
    "MultiHeadAttention": "multi_head_attention",
    "SeparableConv2D": "separable_conv2d",
    "ConvLSTM2D": "conv_lst_m2d",
    "LSTM": "lstm",
    "RNN": "rnn",
    "GRU": "gru",
    "LSTMCell": "lstm_cell",
    "GRUCell": "gru_cell",
    "InputLayer": "input_layer",
}


def entry(layer: Any, shared: dict[int, int]) -> dict[str, Any]:
    """Return what Keras 2 wrote of a layer, as far as its weights need it."""
    config: dict[str, Any] = {"name": layer.name}
    found = {"class_name": type(layer).__name__, "config": config, "name": layer.name}
    if hasattr(layer, "layers"):
        config["layers"] = [entry(each, shared) for each in layer.layers]
    if hasattr(layer, "layer"):
        config["layer"] = entry(layer.layer, shared)
    if id(layer) in shared:
        found["shared_object_id"] = shared[id(layer)]
    return found


class Writer:
    """Writes weights as the saving library of Keras 2.12 to 2.15 did."""

    def __init__(self, file: h5py.File, *, twice: bool) -> None:
        self.file, self.twice = file, twice
        self.seen: set[int] = set()

    def write(self, layer: Any, path: str) -> None:
        """Write a layer and its parts, once."""
        if id(layer) in self.seen:
            return
        self.seen.add(id(layer))
        group = self.file.create_group(f"{path}/vars")
        own = layer._trainable_variables + layer._non_trainable_variables
        for number, weight in enumerate(own):
            group[str(number)] = np.asarray(weight)
        if hasattr(layer, "layers"):
            box = "_layer_checkpoint_dependencies" if self.twice else "layers"
            self.write_list(layer.layers, f"{path}/{box}", twice=self.twice)
            return
        for part in PARTS:
            if hasattr(layer, part):
                self.write(getattr(layer, part), f"{path}/{part}")
        if hasattr(layer, "cells"):
            self.write_list(layer.cells, f"{path}/cells", twice=False)

    def write_list(self, layers: list[Any], path: str, *, twice: bool) -> None:
        """Write layers by class and number; some came twice, once because they have weights."""
        counts: Counter[str] = Counter()
        for layer in layers:
            name = SNAKES.get(type(layer).__name__, type(layer).__name__.lower())
            for _ in range(2 if twice and layer.weights else 1):
                number = counts[name]
                counts[name] += 1
                self.write(layer, f"{path}/{name}_{number}" if number else f"{path}/{name}")


def archive(
    folder: Path, model: Any, *, twice: bool = False, change: Any = None
) -> zipfile.ZipFile:
    """Return an archive with the weights of a model; `change` edits HDF5 file and config."""
    layers = [each for each in model._flatten_layers() if each is not model]
    counts = Counter(id(each) for part in layers for each in getattr(part, "layers", ()))
    shared = {key: number for number, (key, count) in enumerate(counts.items()) if count > 1}
    config, content = entry(model, shared), io.BytesIO()
    with h5py.File(content, "w") as file:
        Writer(file, twice=twice).write(model, "")
        file["optimizer/vars/0"] = np.zeros(3)
        if change is not None:
            change(file, config)
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("config.json", json.dumps(config))
        packed.writestr("model.weights.h5", content.getvalue())
    return zipfile.ZipFile(path)


def randomised(model: Any) -> Any:
    """Give every weight of a model random values."""
    rng = np.random.default_rng(len(model.weights))
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, size=weight.shape))
    return model


def stack() -> Any:
    """Return layers of one class with and without weights in a row."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(3, 3, name="one"),
            layers.BatchNormalization(name="bn", scale=False),
            layers.ReLU(name="r"),
            layers.SeparableConv2D(3, 2, name="two"),
            layers.PReLU(name="p"),
            layers.ReLU(name="rr"),
            layers.Conv2D(3, 2, use_bias=False, name="three"),
            layers.Flatten(name="flat"),
            layers.Dense(4, name="d"),
            layers.Dense(4, name="a_b"),
        ]
    )


def nested() -> Any:
    """Return a model in a model, one of them frozen and called twice."""
    import keras

    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="d"), layers.BatchNormalization(name="bn")],
        name="inner",
    )
    inner.trainable = False
    x = keras.Input((4,))
    norm = layers.Normalization(name="n")
    y = layers.Dense(4, name="d")(inner(inner(norm(x))))
    middle = keras.Model(x, y, name="middle")
    z = keras.Input((4,))
    return keras.Model(z, layers.Dense(2, name="e")(layers.Add()([middle(z), inner(z)])))


def wrapped() -> Any:
    """Return wrappers, cells and attention."""
    import keras

    layers = keras.layers
    x = keras.Input((5, 4))
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="b")(x)
    y = layers.TimeDistributed(
        keras.Sequential([layers.Dense(4, name="d"), layers.BatchNormalization(name="bn")]),
        name="t",
    )(y)
    y = layers.MultiHeadAttention(2, 3, name="m")(y, y)
    cells = [layers.LSTMCell(4), layers.GRUCell(4), layers.LSTMCell(4)]
    y = layers.RNN(cells, return_sequences=True, name="r")(y)
    return keras.Model(x, layers.GRU(3, name="g")(y))


def filmed() -> Any:
    """Return a layer whose class Keras has spelt in two ways."""
    import keras

    return keras.Sequential([keras.Input((3, 6, 6, 2)), keras.layers.ConvLSTM2D(4, 3, name="c")])


MODELS = {"stack": stack, "nested": nested, "wrapped": wrapped, "filmed": filmed}


@pytest.mark.parametrize("twice", [False, True], ids=["layers", "checkpoint dependencies"])
@pytest.mark.parametrize("name", MODELS)
def test_every_layout(tmp_path, name, twice):
    """Each weight gets the value that was saved for it, whatever holds it."""
    saved, model = randomised(MODELS[name]()), MODELS[name]()
    with archive(tmp_path, saved, twice=twice) as packed:
        assign(model, packed)
    for found, wanted in zip(model.weights, saved.weights, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_other_spelling(tmp_path):
    """A group is found by either way of cutting a class name with capitals in a row."""

    def respell(file: h5py.File, _: Any) -> None:
        file.move("layers/conv_lst_m2d", "layers/conv_lstm2d")

    saved, model = randomised(filmed()), filmed()
    with archive(tmp_path, saved, change=respell) as packed:
        assign(model, packed)
    np.testing.assert_array_equal(model.weights[0], saved.weights[0])


def test_state_that_is_finalized(tmp_path):
    """Normalization computes with the values that were assigned, not with those before."""
    import keras

    def model() -> Any:
        return keras.Sequential([keras.Input((3,)), keras.layers.Normalization(name="n")])

    saved, found = randomised(model()), model()
    saved.layers[0].finalize_state()
    with archive(tmp_path, saved) as packed:
        assign(found, packed)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(found(x), saved(x))
    assert not np.array_equal(found(x), x)


def _renorm(file: h5py.File, config: Any) -> None:
    for number in range(3, 6):
        file[f"layers/batch_normalization/vars/{number}"] = np.ones(3)
    config["config"]["layers"][1]["config"]["renorm"] = True


def test_statistics_of_renorm(tmp_path):
    """The running statistics of renormalization, which inference does not use, are left away."""
    saved, model = randomised(stack()), stack()
    with archive(tmp_path, saved, change=_renorm) as packed:
        assign(model, packed)
    np.testing.assert_array_equal(model.weights[4], saved.weights[4])


def _missing_layer(file: h5py.File, _: Any) -> None:
    del file["layers/dense_1"]


def _missing_weight(file: h5py.File, _: Any) -> None:
    del file["layers/dense_1/vars/1"]


def _more_weights(file: h5py.File, _: Any) -> None:
    file["layers/conv2d_1/vars/1"] = np.ones(3)


def _more_layers(file: h5py.File, _: Any) -> None:
    file["layers/dense_2/vars/0"] = np.ones((4, 4))


def _more_parts(file: h5py.File, _: Any) -> None:
    file["layers/dense/cell/vars/0"] = np.ones((4, 4))


def _beside(file: h5py.File, _: Any) -> None:
    file["tables/vars/0"] = np.ones(3)


def _of_the_model(file: h5py.File, _: Any) -> None:
    file["vars/0"] = np.ones(3)


def _other_shape(file: h5py.File, _: Any) -> None:
    del file["layers/dense_1/vars/1"]
    file["layers/dense_1/vars/1"] = np.ones(5)


def _transposed(file: h5py.File, _: Any) -> None:
    kernel = file["layers/dense/vars/0"][()]
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = kernel.T


def _other_class(_: h5py.File, config: Any) -> None:
    config["config"]["layers"][0]["class_name"] = "Conv1D"


def _unnamed(_: h5py.File, config: Any) -> None:
    config["config"]["layers"][-1]["config"]["name"] = "somebody"


SPOILT = {
    "layer missing": (_missing_layer, "no weights for layer 'a_b'"),
    "weight missing": (_missing_weight, "'a_b' has 1 weights in the file and 2"),
    "weight too many": (_more_weights, "'three' has 2 weights in the file and 1"),
    "layer too many": (_more_layers, "'/layers/dense_2/vars/0' belong to no layer"),
    "part too many": (_more_parts, "has weights in 'cell'"),
    "group beside": (_beside, "has weights in 'tables'"),
    "weight of the model": (_of_the_model, "has 1 weights in the file and 0"),
    "other shape": (_other_shape, r"'a_b' has the shape \(5,\) in the file and \(4,\)"),
    "transposed": (_transposed, "'d' has the shape"),
    "other class": (_other_class, "no weights for layer 'one'"),
    "unknown name": (_unnamed, "'/layers/dense_1/vars/0' belong to no layer"),
}


@pytest.mark.parametrize(("change", "words"), SPOILT.values(), ids=SPOILT)
def test_what_does_not_fit(tmp_path, change, words):
    """A weight that is missing, left over or of another shape is an error that names it."""
    model = stack()
    with (
        archive(tmp_path, randomised(stack()), change=change) as packed,
        pytest.raises(Unsupported, match=words) as caught,
    ):
        assign(model, packed)
    assert caught.value.exit_code == 3
    assert "SavedModel" in caught.value.hint


def test_a_layer_without_a_value(tmp_path):
    """A layer that the configuration does not name is not left at its initial values."""
    import keras

    layers = [keras.Input((6, 6, 3)), *stack().layers, keras.layers.Dense(3, name="surplus")]
    model = keras.Sequential(layers)
    with (
        archive(tmp_path, stack()) as packed,
        pytest.raises(Unsupported, match=r"no value for the weight '.*surplus/kernel'"),
    ):
        assign(model, packed)


@pytest.mark.parametrize("says_so", [True, False])
def test_layers_in_two_models(tmp_path, says_so):
    """A layer in a second model has the weights of the first where the file says it is one."""
    import keras

    def two() -> Any:
        x, z = keras.Input((4,)), keras.Input((4,))
        middle = keras.Model(x, keras.layers.Dense(4, name="inner")(x), name="middle")
        other = keras.layers.Dense(4, name="inner")(z)
        return keras.Model(z, keras.layers.Add(name="sum")([middle(z), other]))

    def share(file: h5py.File, config: Any) -> None:
        del file["layers/dense"]
        entries = config["config"]["layers"]
        middle = next(each for each in entries if each["name"] == "middle")
        for each in (*entries, *middle["config"]["layers"]):
            if each["name"] == "inner" and says_so:
                each["shared_object_id"] = 7

    saved, model = randomised(two()), two()
    with archive(tmp_path, saved, change=share) as packed:
        if not says_so:
            with pytest.raises(Unsupported, match="no weights for layer 'inner'"):
                assign(model, packed)
            return
        assign(model, packed)
    first = model.get_layer("middle").get_layer("inner")
    second = model.get_layer("inner")
    wanted = saved.get_layer("middle").get_layer("inner").kernel
    np.testing.assert_array_equal(first.kernel, wanted)
    np.testing.assert_array_equal(second.kernel, wanted)


def test_a_name_with_a_slash(tmp_path):
    """Keras 3 allows no slash in a name: the rebuilt layer has an underline instead."""

    def rename(_: h5py.File, config: Any) -> None:
        config["config"]["layers"][-1]["config"]["name"] = "a/b"

    saved, model = randomised(stack()), stack()
    with archive(tmp_path, saved, change=rename) as packed:
        assign(model, packed)
    np.testing.assert_array_equal(model.layers[-1].kernel, saved.layers[-1].kernel)


def test_assets(tmp_path):
    """A layer's table beside the weights is not overlooked."""
    with archive(tmp_path, stack()) as packed:
        path = packed.filename
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("assets/layers/string_lookup/vocabulary.txt", "a\nb")
        with pytest.raises(Unsupported, match="keeps state of a layer"):
            assign(stack(), packed)


REAL = ["e_nested", "h_normalization", "h_tfop", "i_bilstm", "j_shared", "l_attention"]


@pytest.mark.parametrize("name", REAL)
def test_archives_of_keras_2(foreign_models, name):
    """An archive that Keras 2.15 wrote gives what Keras 2.15 computed."""
    path = foreign_models / "legacy" / "tf215" / f"{name}.keras"
    model = loading.load(path).original
    inputs, wanted = (np.load(path.with_suffix(f".{part}.npz")) for part in ("in", "out"))
    samples = {port.name: inputs[f"x{index}"] for index, port in enumerate(model.inputs)}
    found = Evaluator(model)(samples)
    for index, port in enumerate(model.outputs):
        np.testing.assert_allclose(found[port.name], wanted[f"y{index}"], rtol=1e-4, atol=1e-5)

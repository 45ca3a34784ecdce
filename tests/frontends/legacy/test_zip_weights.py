"""Weights of .keras archives of Keras 2: every layout, and nothing missing or left over."""

from __future__ import annotations

import zipfile
from typing import Any

import h5py
import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends import loading
from foldbn.frontends.legacy.zip_weights import assign
from foldbn.verification.reference import Evaluator
from tests.frontends.legacy.archives import MODELS, archive, filmed, randomised, stack


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

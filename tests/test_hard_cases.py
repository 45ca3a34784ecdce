"""Hard cases by their number: each ends in a clear error, or simply works.

The numbers are those of the project's list of hard cases.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import (
    BadWeights,
    FoldbnError,
    OutputExists,
    OutputIsInput,
    ProviderMissing,
    Unreadable,
    Unsupported,
    UsageError,
)
from foldbn.frontends import loading
from foldbn.verification.reference import Evaluator
from tests.journeys import randomise


def prove(model: Any, folder: Path, **options: Any) -> foldbn.Conversion:
    """Save a Keras model and convert it to both formats, which proves it."""
    path = folder / "model.keras"
    model.save(path)
    result = foldbn.convert(path, output_dir=folder / "out", bench=False, **options)
    assert result.verification.algebra.max_rel <= 1e-9
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]
    return result


def stack(shape: tuple[int, ...], *layers: Any, seed: int = 0, scales: str = "any") -> Any:
    """Return a Sequential model with random normalization."""
    import keras

    return randomise(keras.Sequential([keras.Input(shape), *layers]), seed, scales=scales)


def outcomes(result: foldbn.Conversion | foldbn.Inspection) -> dict[str, str]:
    """Return what became of each layer, by its name."""
    return {decision.layer: decision.outcome for decision in result.decisions}


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _random(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(5000))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "variables").mkdir()


def _damaged_saved_model(path: Path) -> None:
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"\xff" * 100)


def _missing(_path: Path) -> None:
    pass


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _truncated(name: str) -> Any:
    def write(path: Path) -> None:
        content = (Path(__file__).parents[1] / "fixtures" / name).read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])

    return write


NO_MODELS = {
    "empty": (_empty, "is empty"),
    "random": (_random, "is neither HDF5 nor a .keras archive"),
    "FIFO": (_fifo, "is neither a file nor a directory"),
    "folder": (_folder, "has no saved_model.pb"),
    "damaged SavedModel": (_damaged_saved_model, "damaged|cannot load"),
    "missing": (_missing, "No such file"),
    "dangling link": (_dangling_link, "No such file"),
    "truncated .h5": (_truncated("mlp_bn_after.h5"), "damaged"),
    "truncated .keras": (_truncated("mlp_bn_after.keras"), "damaged"),
}


@pytest.mark.parametrize(("write", "words"), NO_MODELS.values(), ids=NO_MODELS)
def test_07_no_model(tmp_path, write, words):
    """What is no model is refused with the true reason, and nothing is written."""
    path = tmp_path / "model.h5"
    write(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Unreadable, match=words) as caught:
        foldbn.convert(path, bench=False)
    assert caught.value.exit_code == 3
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".model", ".hdf5", "", ".onnx.bak"])
@pytest.mark.parametrize("name", ["bn_axis_1.h5", "transfer.keras"])
def test_08_wrong_suffix(networks, tmp_path, name, suffix):
    """A model is loaded by its content, whatever its name ends in."""
    path = tmp_path / f"model{suffix}"
    shutil.copy(networks / name, path)
    inspection = foldbn.inspect(path)
    assert inspection.source.format == ("keras-h5" if name.endswith("h5") else "keras-zip")
    assert inspection.summary.kept == 0
    assert inspection.summary.folded >= 1


def test_09_weights_only(tmp_path):
    """A file of weights alone says that the architecture is missing, and what to do."""
    path = tmp_path / "model.weights.h5"
    import keras

    stack((4,), keras.layers.Dense(3)).save_weights(path)
    with pytest.raises(Unreadable, match="architecture is missing") as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3
    assert "load_weights" in caught.value.hint


LAYERS = """
import keras

{decorator}
class Doubling(keras.layers.Layer):
    def call(self, x):
        return x + x

    def compute_output_shape(self, shape):
        return shape
"""


@pytest.fixture
def custom(tmp_path) -> tuple[Path, Path]:
    """Return a model with a layer of the user's own, and the Python file that defines it."""
    import keras

    definitions = tmp_path / "layers.py"
    definitions.write_text(LAYERS.format(decorator=""))
    names: dict[str, Any] = {"__name__": "layers"}
    exec(definitions.read_text(), names)  # noqa: S102 - the file that was just written
    model = stack(
        (4,),
        keras.layers.Dense(3, name="dense"),
        keras.layers.BatchNormalization(name="bn"),
        names["Doubling"](name="twice"),
    )
    model.save(tmp_path / "custom.keras")
    model.save(tmp_path / "custom.h5")
    return tmp_path / "custom.keras", definitions


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_10_unknown_layer(custom, suffix):
    """A layer that Keras does not know is named, and the hint says how to give it."""
    model, _ = custom
    with pytest.raises(Unsupported, match="Doubling") as caught:
        foldbn.inspect(model.with_suffix(suffix))
    assert caught.value.exit_code == 3
    assert "--custom-objects" in caught.value.hint


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    "decorator",
    ["", "@keras.saving.register_keras_serializable()"],
    ids=["plain", "registered"],
)
def test_10_custom_objects(custom, tmp_path, suffix, decorator):
    """With the file that defines its layers a model converts like any other."""
    model, definitions = custom
    definitions.write_text(LAYERS.format(decorator=decorator))
    result = foldbn.convert(
        model.with_suffix(suffix),
        output_dir=tmp_path / "out",
        custom_objects=definitions,
        bench=False,
    )
    assert outcomes(result) == {"bn": "folded"}
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [("def broken(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), (None, "FileNotFound")],
)
def test_10_custom_objects_that_do_not_run(custom, text, words):
    """A file of definitions that cannot be run is the user's mistake, and named."""
    model, definitions = custom
    definitions.unlink()
    if text is not None:
        definitions.write_text(text)
    with pytest.raises(UsageError, match=rf"layers\.py.*{words}") as caught:
        foldbn.inspect(model, custom_objects=definitions)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_10_custom_loss(tmp_path, suffix):
    """A loss and a metric that nobody else knows do not matter for inference."""
    import keras

    def my_loss(wanted: Any, found: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(wanted - found))

    class MyMetric(keras.metrics.MeanSquaredError):
        pass

    model = stack((4,), keras.layers.Dense(3), keras.layers.BatchNormalization(name="bn"))
    model.compile(optimizer="sgd", loss=my_loss, metrics=[MyMetric()])
    model.fit(np.ones((4, 4)), np.ones((4, 3)), verbose=0)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    assert outcomes(foldbn.inspect(path)) == {"bn": "folded"}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("weight", "value"),
    [
        ("gamma", np.nan),
        ("beta", np.inf),
        ("moving_mean", -np.inf),
        ("moving_variance", np.nan),
        ("moving_variance", -1.0),
        ("moving_variance", -1e-3),
    ],
)
def test_11_bad_weights(tmp_path, suffix, weight, value):
    """NaN, infinity, and a variance without a square root are errors that name the layer."""
    import keras

    norm = keras.layers.BatchNormalization(name="the_bad_one")
    model = stack((4,), keras.layers.Dense(3), norm, keras.layers.Dense(2))
    weights = np.ones(3)
    weights[1] = value
    getattr(norm, weight).assign(weights)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    with pytest.raises(BadWeights, match="'the_bad_one'") as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("weight", ["kernel", "bias"])
@pytest.mark.parametrize("kind", ["Dense", "Conv2D"])
def test_11_bad_weights_of_other_layers(tmp_path, kind, weight, value):
    """A layer that is no normalization is named as well, wherever it stands."""
    import keras

    layers = keras.layers
    arguments = {"Dense": {"units": 3}, "Conv2D": {"filters": 3, "kernel_size": 2}}[kind]
    bad = getattr(layers, kind)(**arguments, name="the_bad_one")
    model = stack((4, 4, 2), layers.BatchNormalization(), layers.Activation("tanh"), bad)
    weights = np.ones(getattr(bad, weight).shape)
    weights.flat[-1] = value
    getattr(bad, weight).assign(weights)
    model.save(tmp_path / "model.keras")
    with pytest.raises(BadWeights, match="'the_bad_one'") as caught:
        foldbn.inspect(tmp_path / "model.keras")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("epsilon", [1e-3, 1e-7, 1e-12])
def test_11_zero_variance(tmp_path, epsilon):
    """A variance of zero is fine as long as epsilon is not."""
    import keras

    norm = keras.layers.BatchNormalization(name="bn", epsilon=epsilon)
    model = stack((4,), keras.layers.Dense(3), norm, keras.layers.Activation("tanh"))
    norm.moving_variance.assign(np.zeros(3))
    assert outcomes(prove(model, tmp_path)) == {"bn": "folded"}


@pytest.mark.parametrize("before", [True, False], ids=["dense, norm", "norm, dense"])
def test_12_mean_far_above_deviation(tmp_path, before):
    """With a mean of a million deviations the folded file passes: it rounds better."""
    import keras

    norm = keras.layers.BatchNormalization(name="bn", epsilon=1e-5)
    dense = keras.layers.Dense(3)
    model = stack((4,), *((dense, norm) if before else (norm, dense)), scales="positive")
    norm.moving_mean.assign(np.full(norm.moving_mean.shape, 1e6))
    norm.moving_variance.assign(np.full(norm.moving_mean.shape, 1e-2))
    assert outcomes(prove(model, tmp_path)) == {"bn": "folded"}


@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str
)
def test_13_negative_zero_and_missing_scale(tmp_path, options):
    """Normalization before ReLU folds with any scale, and with weights left out."""
    import keras

    layers = keras.layers
    norm = layers.BatchNormalization(name="bn", **options)
    model = stack((6, 6, 3), layers.Conv2D(5, 3, name="conv"), norm, layers.ReLU())
    if norm.gamma is not None:
        assert norm.gamma.numpy().min() < 0
        assert (norm.gamma.numpy() == 0).any()
    result = prove(model, tmp_path)
    assert outcomes(result) == {"bn": "folded"}
    assert result.decisions[0].into == ("conv",)


def test_14_after_relu(tmp_path):
    """A normalization after ReLU is not folded back into the convolution before it."""
    import keras

    layers = keras.layers
    conv = layers.Conv2D(5, 3, activation="relu", name="conv")
    model = stack((6, 6, 3), conv, layers.BatchNormalization(name="bn"), scales="positive")
    result = prove(model, tmp_path)
    assert outcomes(result)["bn"] in ("kept", "lowered")
    assert "ReLU lets no shift by" in result.decisions[0].reason


def test_14_before_padding(tmp_path):
    """A normalization before a padded convolution is not folded, and the borders are right."""
    import keras

    layers = keras.layers
    conv = layers.Conv2D(5, 3, padding="same", name="conv")
    model = stack((6, 6, 3), layers.BatchNormalization(name="bn"), conv)
    result = prove(model, tmp_path)
    assert outcomes(result)["bn"] in ("kept", "lowered")
    assert "pads its input with zeros" in result.decisions[0].reason
    images = np.random.default_rng(4).normal(size=(2, 6, 6, 3)).astype(np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(result.artifacts[0].path)
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    wanted = model.predict(images, verbose=0)
    for border in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        np.testing.assert_allclose(found[border], wanted[border], rtol=1e-4, atol=1e-5)


def test_15_two_consumers(tmp_path):
    """A normalization that two layers read goes into both of them or into none."""
    import keras

    layers = keras.layers
    inputs = keras.Input((6, 6, 3))
    normed = layers.BatchNormalization(name="free")(inputs)
    branches = [layers.Conv2D(4, 3, name=name)(normed) for name in ("one", "two")]
    again = layers.BatchNormalization(name="bound")(layers.Add()(branches))
    active = layers.Activation("tanh")(again)
    normed = layers.BatchNormalization(name="stays")(active)
    plain = layers.Conv2D(2, 3, name="plain")(normed)
    padded = layers.Conv2D(2, 3, padding="same", name="padded")(normed)
    result = prove(randomise(keras.Model(inputs, [plain, padded])), tmp_path)
    found = {decision.layer: decision for decision in result.decisions}
    assert found["free"].outcome == "folded"
    assert set(found["free"].into) == {"one", "two"}
    assert set(found["bound"].into) == {"one", "two"}
    assert found["stays"].outcome in ("kept", "lowered")


def test_15_output_beside_the_normalization(tmp_path):
    """A layer whose output is also the model's keeps its weights."""
    import keras

    layers = keras.layers
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, name="dense")(inputs)
    normed = layers.BatchNormalization(name="bn")(hidden)
    model = randomise(keras.Model(inputs, [hidden, layers.Activation("tanh")(normed)]))
    result = prove(model, tmp_path)
    assert outcomes(result)["bn"] in ("kept", "lowered")
    assert "also an output of the model" in result.decisions[0].reason


def test_15_shared_dense(tmp_path):
    """A layer called twice has each call's normalization folded into a copy of its own."""
    import keras

    layers = keras.layers
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    shared = layers.Dense(3, name="shared")
    normed = [
        layers.BatchNormalization(name=f"bn_{name}")(shared(tensor))
        for name, tensor in (("left", left), ("right", right))
    ]
    model = randomise(keras.Model([left, right], layers.Concatenate()(normed)))
    result = prove(model, tmp_path)
    assert set(outcomes(result).values()) <= {"folded", "kept", "lowered"}
    assert outcomes(result) == {"bn_left": "folded", "bn_right": "folded"}


def test_15_normalization_called_twice(tmp_path):
    """A normalization called twice is decided for each call."""
    import keras

    layers = keras.layers
    inputs = keras.Input((4,))
    norm = layers.BatchNormalization(name="bn")
    first = layers.ReLU()(norm(layers.Dense(3, name="one")(inputs)))
    second = norm(layers.Dense(3, activation="tanh", name="two")(first))
    model = randomise(keras.Model(inputs, layers.Activation("sigmoid")(second)))
    decisions = prove(model, tmp_path).decisions
    assert [decision.layer for decision in decisions] == ["bn", "bn"]
    assert [decision.outcome for decision in decisions] == ["folded", "kept"]


LINEAR = {
    "Conv2DTranspose": {"filters": 5, "kernel_size": 3, "strides": 2},
    "DepthwiseConv2D": {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
    "Conv2D": {"filters": 6, "kernel_size": 3, "groups": 2},
    "SeparableConv2D": {"filters": 5, "kernel_size": 3, "depth_multiplier": 2},
}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", LINEAR)
def test_16_kernels_of_every_layout(tmp_path, kind, bias):
    """Each kind of convolution takes the normalization after it in."""
    import keras

    layers = keras.layers
    conv = getattr(layers, kind)(**LINEAR[kind], use_bias=bias, name="conv")
    head = (layers.BatchNormalization(name="bn"), layers.ReLU(), layers.GlobalAveragePooling2D())
    result = prove(stack((7, 7, 4), conv, *head, layers.Dense(2)), tmp_path)
    assert outcomes(result) == {"bn": "folded"}
    assert result.decisions[0].into == ("conv",)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((5, 4), 1), ((6, 5, 4), 1), ((6, 5, 4), 2), ((6, 5, 4), -3)],
    ids=str,
)
def test_17_other_axis(tmp_path, shape, axis):
    """A normalization over another axis than the channels folds only where that is right."""
    import keras

    layers = keras.layers
    through = stack(
        shape, layers.BatchNormalization(axis=axis, name="bn"), layers.Flatten(), layers.Dense(3)
    )
    assert outcomes(prove(through, tmp_path)) == {"bn": "folded"}
    beside = stack(
        shape, layers.Dense(3, name="dense"), layers.BatchNormalization(axis=axis, name="bn")
    )
    other = tmp_path / "other"
    other.mkdir()
    assert outcomes(prove(beside, other))["bn"] in ("kept", "lowered")


LISTS = {
    "two axes": ("tf215/g_bn_axis12.savedmodel", "tf215/g_bn_axis12"),
    "a list of one": ("tf24/g_bn_axis1_4d.h5", "tf24/g_bn_axis1_4d"),
    "a list of one, in a SavedModel": ("tf215/g_bn_axis1_4d.savedmodel", "tf215/g_bn_axis1_4d"),
}


@pytest.mark.parametrize(("model", "stem"), LISTS.values(), ids=LISTS)
def test_17_axis_as_a_list(foreign_models, tmp_path, model, stem):
    """A normalization whose axis is a list gives what the framework that wrote it gave."""
    folder = foreign_models / "legacy"
    loaded = loading.load(folder / model)
    inputs, wanted = (np.load(folder / f"{stem}.{part}.npz") for part in ("in", "out"))
    (source,), (target,) = loaded.original.inputs, loaded.original.outputs
    found = Evaluator(loaded.original)({source.name: inputs["x0"]})[target.name]
    np.testing.assert_allclose(found, wanted["y0"], rtol=1e-4, atol=1e-5)
    result = foldbn.convert(folder / model, output_dir=tmp_path, bench=False)
    assert result.verification.algebra.max_rel <= 1e-9
    assert result.summary.affine_layers >= 1
    assert all(artifact.verification.passed for artifact in result.artifacts)


def test_22_the_model_is_no_target(networks, tmp_path):
    """A model in the place of an artefact is not replaced, not even with overwriting on."""
    content = (networks / "bn_axis_1.h5").read_bytes()
    model = tmp_path / "model.tflite"
    model.write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(OutputIsInput) as caught:
            foldbn.convert(model, bench=False, overwrite=overwrite)
        assert caught.value.exit_code == 2
    assert model.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_22_existing_output(networks, tmp_path):
    """An artefact that exists is not replaced unless the user says so."""
    there = tmp_path / "bn_axis_1.onnx"
    there.write_bytes(b"precious")
    with pytest.raises(OutputExists, match="exists") as caught:
        foldbn.convert(networks / "bn_axis_1.h5", output_dir=tmp_path, bench=False)
    assert caught.value.exit_code == 2
    assert there.read_bytes() == b"precious"


def test_22_a_dangling_link_is_there(networks, tmp_path):
    """A link that leads nowhere is an output that exists; overwriting replaces the link alone."""
    link = tmp_path / "bn_axis_1.onnx"
    link.symlink_to(tmp_path / "elsewhere" / "file")
    options = {"output_dir": tmp_path, "to": ("onnx",), "bench": False}
    with pytest.raises(OutputExists, match="exists"):
        foldbn.convert(networks / "bn_axis_1.h5", **options)
    assert link.is_symlink()
    foldbn.convert(networks / "bn_axis_1.h5", overwrite=True, **options)
    assert link.is_file()
    assert not link.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == [link.name]


def test_22_a_model_called_original(networks, tmp_path):
    """No file of foldbn's own takes the place of an artefact, whatever the model is called."""
    model = tmp_path / "original.h5"
    shutil.copy(networks / "bn_axis_1.h5", model)
    result = foldbn.convert(model, to=("onnx",), providers=["cpu"])
    import onnx

    graph = onnx.load(result.artifacts[0].path).graph
    assert len(graph.node) == result.artifacts[0].nodes.after < result.artifacts[0].nodes.before
    assert {path.name for path in tmp_path.iterdir()} == {"original.h5", "original.onnx"}


def test_25_provider_that_is_not_there(networks, tmp_path):
    """A provider that is not there is an error that lists what there is; nothing is written."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    name, full = next(
        (short, full)
        for short, full in (("cuda", "CUDAExecutionProvider"), ("dml", "DmlExecutionProvider"))
        if full not in available
    )
    for provider in (name, full):
        with pytest.raises(ProviderMissing, match="CPUExecutionProvider") as caught:
            foldbn.convert(
                networks / "bn_axis_1.h5", output_dir=tmp_path / "out", providers=[provider]
            )
        assert caught.value.exit_code == 4
        assert full in caught.value.message
    assert not (tmp_path / "out").exists()


def test_25_unknown_provider(networks, tmp_path):
    """A provider that nobody knows is an error that names it."""
    with pytest.raises(FoldbnError, match="abacus"):
        foldbn.convert(networks / "bn_axis_1.h5", output_dir=tmp_path, providers=["abacus"])


COMMAND = (sys.executable, "-m", "foldbn", "convert", "--no-bench")


def test_28_bare_environment(networks, tmp_path):
    """With LANG=C, NO_COLOR, no terminal and an unusable HOME the command works as ever."""
    home = tmp_path / "home"
    home.write_bytes(b"")
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")},
        "LANG": "C",
        "LC_ALL": "C",
        "NO_COLOR": "1",
        "HOME": str(home / "nothing"),
    }
    out = tmp_path / "out"
    run = subprocess.run(
        [*COMMAND, "-o", out, networks / "cnn_bn_after.h5"],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert b"\x1b" not in run.stdout + run.stderr
    assert b"Traceback" not in run.stderr
    assert b"batch_normalization_3" in run.stdout
    run.stdout.decode("utf-8")
    assert {path.name for path in out.iterdir()} == {"cnn_bn_after.onnx", "cnn_bn_after.tflite"}

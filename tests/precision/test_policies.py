"""Models of any precision fold, are exported in float32, and are judged as such."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import foldbn
from tests.journeys import randomise
from tests.precision.policies import SHAPE, UNITS, Case, built, in_policy

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")


@pytest.fixture(scope="module", params=POLICIES)
def case(request, tmp_path_factory) -> Case:
    """Return a network under each policy."""
    return Case(request.param, tmp_path_factory.mktemp(request.param))


def _run(path: str, images: np.ndarray) -> np.ndarray:
    """Return what an exported file computes, by its own runtime."""
    if path.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": images})[0]
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=path).get_signature_runner()
    return np.concatenate([run(x=image[None])["kind"] for image in images])


def test_every_policy_folds_and_says_its_precision(case):
    """All normalization folds exactly, and the artefacts are in float32 whatever they came from."""
    result = case.result
    assert result.source.precision == case.policy
    assert {d.layer: d.outcome for d in result.decisions} == dict.fromkeys(
        ("bn_conv", "bn_flat", "bn_dense"), "folded"
    )
    assert result.verification.algebra.max_rel <= 1e-9
    for artifact in result.artifacts:
        assert artifact.precision == "float32"
        assert artifact.verification.passed
        assert artifact.verification.error < 1e-6
        assert artifact.verification.tolerance < 1e-5


def test_artefacts_compute_the_model(case):
    """Files are as near as float32 comes to the numbers, and as the policy to the framework."""
    images = np.random.default_rng(3).normal(size=(16, *SHAPE)).astype(np.float32)
    twin = built("float64")
    twin.set_weights([np.asarray(w).astype(np.float64) for w in case.model.get_weights()])
    exact = np.asarray(twin(images.astype(np.float64)))
    framework = np.asarray(case.model(images)).astype(np.float64)
    for path in case.files:
        found = _run(path, images)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)
        # Each of a handful of ops rounds by up to half a unit; probabilities are 1 at the most.
        np.testing.assert_allclose(found, framework, rtol=0, atol=16 * UNITS[case.kind])


def test_the_framework_is_further_off_than_the_file(case):
    """The report has the distance of the original as its framework computes it."""
    for artifact in case.result.artifacts:
        own = artifact.verification.original_error
        if case.kind == "float64":
            assert own < 1e-12
        else:
            assert 0.01 * UNITS[case.kind] < own < 4 * UNITS[case.kind]
            assert own > artifact.verification.tolerance


def test_saved_model_of_the_same(case):
    """A SavedModel folds alike, and is written back as one that passes too."""
    result = foldbn.convert(
        case.directory, output_dir=case.folder / "again", bench=False, to=("onnx", "savedmodel")
    )
    assert result.source.precision == case.policy
    assert result.summary.folded == result.summary.affine_layers == 3
    assert all(artifact.verification.passed for artifact in result.artifacts)


def test_verify_and_inspect(case):
    """Exported files pass, and so does the framework's own model; inspect tells the precision."""
    result = foldbn.verify(case.path, [*case.files, case.directory])
    assert result.passed
    assert result.source.precision == case.policy
    *ours, original = [artifact.verification for artifact in result.artifacts]
    assert all(verdict.tolerance < 1e-5 for verdict in ours)
    if case.kind != "float64":
        # It rounds as coarsely as it computes, and that is what it may be off.
        assert original.error > 1e-5
    assert foldbn.inspect(case.path).source.precision == case.policy


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "float64"])
def test_verify_finds_a_small_fault(policy, tmp_path):
    """A float32 file made with another epsilon is off by less than float16 rounds, and is found."""
    right, wrong = built(policy), built(policy)
    for model, name in ((right, "right"), (wrong, "wrong")):
        if model is wrong:
            model.get_layer("bn_flat").epsilon = 2e-3
        model.save(tmp_path / f"{name}.keras")
    made = foldbn.convert(tmp_path / "wrong.keras", bench=False)
    result = foldbn.verify(tmp_path / "right.keras", [each.path for each in made.artifacts])
    assert [each.verification.passed for each in result.artifacts] == [False, False]
    assert all(each.verification.error < 4e-3 for each in result.artifacts)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "float64"])
def test_recurrent_layers(tmp_path, policy):
    """What a loop repeats computes in float32 as well, and takes maps as it does in float32."""
    import keras

    def build() -> Any:
        layers = keras.layers
        inputs = keras.Input((6, 4))
        tensor = layers.BatchNormalization(name="bn_lstm")(inputs)
        tensor = layers.LSTM(4, return_sequences=True, name="lstm")(tensor)
        tensor = layers.GRU(3, name="gru")(layers.BatchNormalization(name="bn_gru")(tensor))
        return keras.Model(inputs, tensor)

    randomise(in_policy(policy, build)).save(tmp_path / "model.keras")
    result = foldbn.convert(tmp_path / "model.keras", bench=False)
    assert result.source.precision == policy
    assert {d.layer: d.into for d in result.decisions} == {"bn_lstm": ("lstm",), "bn_gru": ("gru",)}
    assert [artifact.format for artifact in result.artifacts] == ["onnx", "tflite"]
    assert all(artifact.verification.tolerance < 1e-5 for artifact in result.artifacts)


def test_pooling_of_volumes_in_half_precision(tmp_path):
    """TensorFlow pools volumes neither in float16 on the CPU nor in float64; foldbn proves it."""
    import keras

    def build() -> Any:
        layers = keras.layers
        inputs = keras.Input((4, 7, 6, 2))
        tensor = layers.BatchNormalization()(layers.Conv3D(3, 3, padding="same")(inputs))
        tensor = layers.MaxPooling3D(2, padding="same")(tensor)
        tensor = layers.AveragePooling3D((1, 2, 2))(tensor)
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(tensor)))

    randomise(in_policy("mixed_float16", build)).save(tmp_path / "model.keras")
    result = foldbn.convert(tmp_path / "model.keras", bench=False, to=("onnx",))
    assert result.summary.folded == result.summary.affine_layers == 1
    assert foldbn.verify(tmp_path / "model.keras", [tmp_path / "model.onnx"]).passed


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("writer", ["k33_tf216", "tf215", "tf210", "tf24"])
def test_30_mixed_precision_of_another_version(foreign_models, tmp_path, writer, suffix):
    """A mixed model that another Keras wrote gives what that gave, as float16 allows."""
    stem = foreign_models / "legacy" / writer / "l_mixed_precision"
    result = foldbn.convert(stem.with_suffix(suffix), output_dir=tmp_path, bench=False)
    assert result.source.precision == "mixed_float16"
    assert result.summary.folded == result.summary.affine_layers == 1
    inputs, wanted = (np.load(f"{stem}.{part}.npz") for part in ("in", "out"))
    import onnxruntime

    session = onnxruntime.InferenceSession(
        result.artifacts[0].path, providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {session.get_inputs()[0].name: inputs["x0"]})[0]
    scale = np.abs(wanted["y0"].astype(np.float64)).max()
    np.testing.assert_allclose(found, wanted["y0"], rtol=0, atol=8 * UNITS["float16"] * scale)

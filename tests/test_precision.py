"""Models of any floating-point precision fold, are exported in float32, and are judged as such."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import foldbn
from foldbn import ops
from foldbn.affine import Affine
from foldbn.errors import BadSamples, VerificationFailed
from foldbn.report import document, render
from foldbn.rules import forward
from tests.journeys import randomise

# The unit in the last place of 1: of 11 bits of float16, 8 of bfloat16, 24 of float32.
UNITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-23}
POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
SHAPE = (8, 8, 3)


def _in_policy(policy: str, build: Callable[[], Any]) -> Any:
    """Return what `build` makes under a dtype policy, which is reset."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


def _network() -> Any:
    """Return a network with normalization after and before its layers, and 1,280 weights in one."""
    import keras

    layers = keras.layers
    inputs = keras.Input(SHAPE, name="x")
    tensor = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    tensor = layers.ReLU()(layers.BatchNormalization(name="bn_conv")(tensor))
    tensor = layers.Flatten()(layers.MaxPooling2D()(tensor))
    tensor = layers.Dense(10, name="dense")(layers.BatchNormalization(name="bn_flat")(tensor))
    tensor = layers.BatchNormalization(name="bn_dense")(tensor)
    return keras.Model(inputs, layers.Softmax(name="kind")(tensor))


def _built(policy: str, seed: int = 1) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    return randomise(_in_policy(policy, _network), seed)


class Case:
    """A network under one policy, its files, and its conversion."""

    def __init__(self, policy: str, folder: Path) -> None:
        self.policy, self.folder, self.model = policy, folder, _built(policy)
        self.path, self.directory = folder / "model.keras", folder / "original"
        self.model.save(self.path)
        self.model.export(self.directory, verbose=False)
        self.result = foldbn.convert(self.path, output_dir=folder / "out", bench=False)

    @property
    def kind(self) -> str:
        """The type of the products."""
        return self.policy.removeprefix("mixed_")

    @property
    def files(self) -> list[str]:
        """The paths of the artefacts."""
        return [artifact.path for artifact in self.result.artifacts]


@pytest.fixture(scope="module", params=POLICIES)
def case(request, tmp_path_factory) -> Case:
    """Return a network under each policy."""
    return Case(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Case:
    """Return the network under Keras's most common policy besides float32."""
    return Case("mixed_float16", tmp_path_factory.mktemp("mixed"))


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
    twin = _built("float64")
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
    right, wrong = _built(policy), _built(policy)
    for model, name in ((right, "right"), (wrong, "wrong")):
        if model is wrong:
            model.get_layer("bn_flat").epsilon = 2e-3
        model.save(tmp_path / f"{name}.keras")
    made = foldbn.convert(tmp_path / "wrong.keras", bench=False)
    result = foldbn.verify(tmp_path / "right.keras", [each.path for each in made.artifacts])
    assert [each.verification.passed for each in result.artifacts] == [False, False]
    assert all(each.verification.error < 4e-3 for each in result.artifacts)


@pytest.fixture(scope="module")
def half_onnx(mixed) -> bytes:
    """Return the file that Keras writes of a mixed model: it computes in float16."""
    import warnings

    path = mixed.folder / "keras.onnx"
    mixed.model(np.zeros((1, *SHAPE), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        mixed.model.export(path, format="onnx", verbose=False)
    return path.read_bytes()


def test_verify_takes_the_half_file_of_another_tool(mixed, half_onnx, tmp_path):
    """A file that computes in float16 is not refused for it, but for a fault it is."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(half_onnx)
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    casts = [node for node in proto.graph.node if node.op_type == "Cast"]
    assert onnx.TensorProto.FLOAT16 in kinds
    assert casts
    (tmp_path / "right.onnx").write_bytes(half_onnx)
    kernel = next(t for t in proto.graph.initializer if sorted(t.dims) == [3, 3, 3, 8])
    value = numpy_helper.to_array(kernel).copy()
    first = int(np.argmax(np.array(value.shape) == 8))
    moved = np.moveaxis(value, first, 0)
    moved[[0, 1]] = moved[[1, 0]]
    kernel.CopyFrom(numpy_helper.from_array(value, kernel.name))
    (tmp_path / "wrong.onnx").write_bytes(proto.SerializeToString())
    result = foldbn.verify(mixed.path, [tmp_path / "right.onnx", tmp_path / "wrong.onnx"])
    right, wrong = (artifact.verification for artifact in result.artifacts)
    assert right.passed
    assert right.error > 1e-5
    assert not wrong.passed
    assert wrong.error > 4 * wrong.tolerance


def test_verify_takes_weights_that_are_rounded(mixed, tmp_path):
    """A float32 file whose weights are those that the mixed model computes with passes."""
    normal = [layer for layer in mixed.model.layers if layer.name.startswith("bn")]
    rounded = _built("float32")
    weights = {id(w) for layer in normal for w in layer.weights}
    values = [
        np.asarray(w) if id(w) in weights else np.asarray(w).astype(np.float16).astype(np.float32)
        for w in mixed.model.weights
    ]
    rounded.set_weights(values)
    rounded.save(tmp_path / "rounded.keras")
    made = foldbn.convert(tmp_path / "rounded.keras", bench=False)
    result = foldbn.verify(mixed.path, [each.path for each in made.artifacts])
    assert result.passed
    for each in result.artifacts:
        assert each.verification.error <= each.verification.tolerance < 1e-5


@pytest.mark.parametrize(("factor", "passes"), [(0.5 - 2**-12, True), (0.51, False)])
def test_half_files_are_judged_in_units_of_half(tmp_path, factor, passes):
    """Where the original happens to round nothing, a file may still round as float16 does."""
    import tensorflow as tf
    from onnx import TensorProto, checker, helper, numpy_helper

    module = tf.Module()
    spec = tf.TensorSpec((None, 6), tf.float16, name="x")
    module.call = tf.function(lambda x: {"y": x * tf.constant(0.5, tf.float16)}, autograph=False)
    tf.saved_model.save(module, tmp_path / "model", module.call.get_concrete_function(spec))
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, ("batch", 6)) for name in "xy"
    ]
    weight = numpy_helper.from_array(np.array(factor, np.float16), "factor")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])], "half", ports[:1], ports[1:], [weight]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(proto)
    (tmp_path / "half.onnx").write_bytes(proto.SerializeToString())
    assert foldbn.verify(tmp_path / "model", [tmp_path / "half.onnx"]).passed is passes


def test_a_wrong_rule_is_found_in_a_half_model(mixed, tmp_path, monkeypatch):
    """A rule that forgets the shift is found by the algebra, and nothing is written."""
    rule = forward._table[ops.Dense]
    monkeypatch.setitem(
        forward._table,
        ops.Dense,
        lambda op, affine: rule(op, Affine(affine.scale, np.zeros_like(affine.shift))),
    )
    with pytest.raises(VerificationFailed, match="differs in float64"):
        foldbn.convert(mixed.path, output_dir=tmp_path / "out", bench=False)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module", params=["float16", "bfloat16", "float64"])
def ported(request, tmp_path_factory) -> tuple[str, Path]:
    """Return a model whose input has another type than float32, and the type."""
    import keras

    kind = request.param

    def build() -> Any:
        inputs = keras.Input((6,), dtype=kind, name="x")
        tensor = keras.layers.Dense(8, name="dense")(inputs)
        tensor = keras.layers.BatchNormalization(name="bn")(tensor)
        return keras.Model(inputs, keras.layers.Dense(3, name="last")(keras.layers.ReLU()(tensor)))

    path = tmp_path_factory.mktemp(kind) / "model.keras"
    randomise(_in_policy(kind, build)).save(path)
    return kind, path


def test_samples_in_the_type_of_the_model(ported, tmp_path):
    """Samples in the model's own type are taken, as those in another are; ports are float32."""
    import onnx
    import tensorflow as tf

    kind, path = ported
    numbers = np.random.default_rng(0).normal(size=(5, 6))
    np.save(tmp_path / "own.npy", numbers.astype(tf.as_dtype(kind).as_numpy_dtype))
    np.savez(tmp_path / "double.npz", x=numbers)
    for samples in ("own.npy", "double.npz"):
        result = foldbn.convert(
            path, output_dir=tmp_path, bench=False, overwrite=True, samples=tmp_path / samples
        )
        assert all(each.verification.samples == 69 for each in result.artifacts)
        assert foldbn.verify(
            path, [each.path for each in result.artifacts], samples=tmp_path / samples
        ).passed
    (port,) = onnx.load(tmp_path / "model.onnx").graph.input
    assert port.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_samples_too_great_for_the_type(ported, tmp_path):
    """Samples that the model's type, or float32, does not hold are refused."""
    _, path = ported
    np.save(tmp_path / "great.npy", np.full((2, 6), 1e39))
    with pytest.raises(BadSamples, match=r"as large as 1e\+39, more than \w+ holds"):
        foldbn.convert(
            path, output_dir=tmp_path, bench=False, samples=tmp_path / "great.npy", dry_run=True
        )


def _saved(folder: Path, before: Callable[[Any, Any], Any], spec: Any = None) -> Path:
    """Save ``before(tf, x) @ kernel * scale + shift`` as a SavedModel."""
    import tensorflow as tf

    spec = spec or tf.TensorSpec((None, 6), tf.float32, name="x")
    module = tf.Module()
    module.kernel = tf.Variable(np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32))

    def call(x: Any) -> dict[str, Any]:
        return {"y": (before(tf, x) @ module.kernel) * [1.0, -2.0, 3.0, 0.5] + [1.0, 2.0, 3.0, 4.0]}

    module.call = tf.function(call, autograph=False)
    tf.saved_model.save(module, folder, module.call.get_concrete_function(spec))
    return folder


def _by_way_of_double(tf: Any, x: Any) -> Any:
    wide = (tf.cast(x, tf.float64) - np.float64(0.1)) / np.float64(0.3)
    return tf.cast(wide, tf.float32)


def _in_a_loop(tf: Any, x: Any) -> Any:
    def body(step: Any, y: Any) -> Any:
        return step + 1, y * np.float64(0.1) + tf.cast(step, tf.float64)

    start = (tf.constant(0), tf.cast(x, tf.float64))
    return tf.cast(tf.while_loop(lambda step, _: step < 3, body, start)[1], tf.float32)


def _masked(tf: Any, x: Any) -> Any:
    mask = np.array([0, 0, 0, -1.79e308, 0, 0])
    return tf.nn.softmax(tf.cast(tf.cast(x, tf.float64) + mask, tf.float32))


DETOURS = {"arithmetic": _by_way_of_double, "a loop": _in_a_loop, "a mask": _masked}


@pytest.mark.parametrize("before", DETOURS.values(), ids=DETOURS)
def test_a_detour_by_way_of_float64(tmp_path, before):
    """A float32 model that computes a step in float64 folds, and gives the same numbers."""
    import onnxruntime
    import tensorflow as tf

    path = _saved(tmp_path / "model", before)
    result = foldbn.convert(path, output_dir=tmp_path / "out", bench=False, to=("onnx",))
    assert result.source.precision == "float32 with float64"
    assert result.summary.kept == 0
    assert result.summary.folded >= 1
    x = np.random.default_rng(2).normal(size=(7, 6)).astype(np.float32)
    wanted = tf.saved_model.load(path).signatures["serving_default"](x=tf.constant(x))["y"]
    session = onnxruntime.InferenceSession(
        result.artifacts[0].path, providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-5, atol=2e-5)


def test_a_detour_that_float32_cannot_take(tmp_path):
    """Where float64 tells apart what float32 cannot, real inputs show it: nothing is written."""
    import tensorflow as tf

    def days(tf: Any, x: Any) -> Any:
        return tf.cast((tf.cast(x, tf.float64) - 1.6e9) / 86400.0, tf.float32)

    path = _saved(tmp_path / "model", days, tf.TensorSpec((None, 6), tf.int64, name="x"))
    seconds = 1_600_000_000 + np.random.default_rng(0).integers(0, 10**6, (9, 6))
    np.save(tmp_path / "seconds.npy", seconds)
    with pytest.raises(VerificationFailed, match="outputs differ") as caught:
        foldbn.convert(
            path, output_dir=tmp_path / "out", bench=False, samples=tmp_path / "seconds.npy"
        )
    assert "float64" in caught.value.hint
    assert not (tmp_path / "out").exists()


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

    randomise(_in_policy(policy, build)).save(tmp_path / "model.keras")
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

    randomise(_in_policy("mixed_float16", build)).save(tmp_path / "model.keras")
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


def test_the_report_tells_the_precision(mixed):
    """Text and document name what the model computes in, and what is exported."""
    assert '"precision": "mixed_float16"' in document(mixed.result)
    console = Console(file=StringIO(), width=120)
    render(mixed.result, console)
    assert "computes in mixed_float16; foldbn exports float32" in console.file.getvalue()

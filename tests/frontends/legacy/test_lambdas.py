"""Lambda layers: what takes their place, and what is refused unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import Unsafe, Unsupported
from foldbn.frontends import loading
from foldbn.frontends.legacy.lambdas import identifier, lambda_layer
from foldbn.verification.reference import Evaluator
from tests.frontends.legacy.stored_functions import OLD, X, double, keras_2, keras_3, named, stored

KINDS = ("h5", "keras")
NAMED = {
    "keras.activations": (keras_3(named("relu", "keras.activations")), X.clip(0)),
    "keras.ops": (keras_3(named("abs", "keras.ops")), np.abs(X)),
    "an activation in builtins": (keras_3(named("tanh", "builtins")), np.tanh(X)),
    "tensorflow": (
        keras_2("square", "function", module="tensorflow.python.ops.math_ops"),
        np.square(X),
    ),
    "backend": (keras_2("abs", "function", module="keras.backend"), np.abs(X)),
    "with arguments": (
        keras_3(named("mean", "keras.ops"), arguments={"axis": -1, "keepdims": True}),
        X.mean(-1, keepdims=True),
    ),
    "an array as argument": (
        keras_2(
            "multiply",
            "function",
            module="tensorflow.python.ops.math_ops",
            arguments={"y": {"type": "ndarray", "value": [1.0, 2.0, 3.0, 4.0, 5.0]}},
        ),
        X * np.arange(1, 6, dtype=np.float32),
    ),
}


@pytest.mark.parametrize(("config", "wanted"), NAMED.values(), ids=NAMED)
def test_functions_by_name(config, wanted):
    """A function of Keras or TensorFlow that is stored by its name is called without a question."""
    layer = lambda_layer(json.loads(json.dumps(config)), {}, unsafe=False)
    assert type(layer).__name__ == "Lambda"
    assert layer.name == config["name"]
    np.testing.assert_allclose(layer(X), wanted, rtol=1e-6)


STRANGE = {
    "somebody's": named("_scale_shift", "builtins"),
    "a builtin": named("exec", "builtins"),
    "os": named("system", "os"),
    "get_file": named("get_file", "keras.utils"),
    "load_model": named("load_model", "keras.models"),
    "tf.io": named("write_file", "tensorflow.io"),
    "py_function": named("py_function", "tensorflow"),
    "a formula that changed": named("hard_sigmoid", "keras.activations"),
    "a name that only TensorFlow knows": named("square", "builtins"),
    "numpy": named("abs", "numpy"),
}


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize("function", STRANGE.values(), ids=STRANGE)
def test_names_that_nobody_knows(function, unsafe):
    """A name off the list is refused with what to do, and running the file's code is no help."""
    with pytest.raises(Unsupported, match=f"does not know: '{function['config']}'") as caught:
        lambda_layer(keras_3(function), {}, unsafe=unsafe)
    assert "--custom-objects" in caught.value.hint
    assert "'lambda_'" in caught.value.hint


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (keras_2([OLD["3.8"], None, None]), "lambda_1"),
        (keras_3(stored(double)), "lambda"),
        (keras_3(stored(double)), "lambda_"),
        (keras_3(named("_scale_shift", "builtins")), "_scale_shift"),
        (keras_3(named("somebody>scale", "builtins")), "scale"),
        (keras_3(stored(double)) | {"name": "tf.math-scale"}, "tf_math_scale"),
    ],
)
def test_functions_of_the_user(config, name):
    """A function of the user's takes the place of the stored one, by either name."""
    layer = lambda_layer(config, {name: lambda x: 3 * x, "other": double}, unsafe=False)
    np.testing.assert_array_equal(layer(X), 3 * X)


def test_layers_of_the_user():
    """A layer class, a layer, and a callable class take the place of a Lambda as well."""
    import keras

    class Triple:
        def __call__(self, x: Any) -> Any:
            return 3 * x

    config = keras_3(stored(double))
    for own in (keras.layers.ReLU, keras.layers.ReLU(), Triple):
        layer = lambda_layer(config, {"lambda_": own}, unsafe=False)
        wanted = 3 * X if own is Triple else X.clip(0)
        np.testing.assert_array_equal(layer(X), wanted)
    assert lambda_layer(config, {"lambda_": keras.layers.ReLU}, unsafe=False).name == "lambda"


def test_identifiers():
    """A layer's name becomes one that a Python file can define."""
    assert identifier("lambda") == "lambda_"
    assert identifier("lambda_1") == "lambda_1"
    assert identifier("my-layer/x") == "my_layer_x"


ARROW = "def {name}(x):\n    return x * 2.0 + 1.0\n"
FILES = {
    "Keras 2.3, .h5": ("k231_tf115/h_lambda.h5", "lambda_1"),
    "TF 2.4, HDF5 by another name": ("tf24/h_lambda_named.keras", "lambda_"),
    "TF 2.15, .keras": ("tf215/h_lambda.keras", "lambda_"),
    "Keras 3, .h5": ("k33_tf216/h_lambda.h5", "lambda_"),
    "Keras 3, .keras": ("k33_tf216/h_lambda.keras", "lambda_"),
    "Keras 3, the function's own name": ("k33_tf216/h_lambda_named.keras", "_scale_shift"),
    "Keras 3, the layer's name": ("k33_tf216/h_lambda_named.h5", "lambda_"),
}


def gives_what_it_gave(path: Path, **options: Any) -> None:
    """Assert that a file loads, and computes what the framework that wrote it computed."""
    model = loading.load(path, **options).original
    inputs, wanted = (np.load(path.with_suffix(f".{part}.npz")) for part in ("in", "out"))
    samples = {port.name: inputs[f"x{index}"] for index, port in enumerate(model.inputs)}
    found = Evaluator(model)(samples)
    for index, port in enumerate(model.outputs):
        np.testing.assert_allclose(found[port.name], wanted[f"y{index}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "function"), FILES.values(), ids=FILES)
def test_files_with_functions_of_the_user(foreign_models, tmp_path, name, function):
    """With a function of the user's a file gives what the framework that wrote it gave."""
    definitions = tmp_path / "mine.py"
    definitions.write_text(ARROW.format(name=function))
    gives_what_it_gave(foreign_models / "legacy" / name, custom_objects=definitions)


def test_a_distance_of_two_inputs(foreign_models, tmp_path):
    """A trained model from the wild is read with the one function that it lacks."""
    definitions = tmp_path / "mine.py"
    definitions.write_text(
        "import keras\n"
        "def lambda_(pair):\n"
        "    one, other = pair\n"
        "    total = keras.ops.sum(keras.ops.square(one - other), axis=1, keepdims=True)\n"
        "    return keras.ops.sqrt(keras.ops.maximum(total, 1e-7))\n"
    )
    path = foreign_models / "real" / "mltk_fingerprint_siamese.h5"
    with pytest.raises(Unsafe, match="'lambda'"):
        foldbn.inspect(path)
    assert foldbn.inspect(path, custom_objects=definitions).summary.affine_layers == 5


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the files hold code of Python 3.11")
@pytest.mark.parametrize(
    "name",
    [
        "tf215/h_lambda.keras",
        "tf215/h_lambda_named.h5",
        *(f"k33_tf216/h_lambda.{s}" for s in KINDS),
    ],
)
def test_files_that_may_run_their_code(foreign_models, name):
    """If the user says so, a file's own code gives what the framework that wrote it gave."""
    gives_what_it_gave(foreign_models / "legacy" / name, unsafe=True)


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
def test_code_runs_only_if_the_user_says_so(tmp_path, suffix, nested):
    """A file of Keras 3 leaves its mark on the machine only with `unsafe`."""
    import keras

    mark = tmp_path / "mark"
    source = f"lambda x: (open({str(mark)!r}, 'w').close(), x * 2.0)[1]"
    layers = [keras.Input((3,)), keras.layers.Lambda(eval(source)), keras.layers.Dense(2)]  # noqa: S307
    model = keras.Sequential(layers)
    if nested:
        model = keras.Sequential([keras.Input((3,)), model])
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    mark.unlink()
    with pytest.raises(Unsafe, match="stored Python code"):
        foldbn.inspect(path)
    assert not mark.exists()
    found = loading.load(path, unsafe=True).original
    assert mark.exists()
    (port,), (output,) = found.inputs, found.outputs
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(Evaluator(found)({port.name: x})[output.name], model(x), rtol=1e-5)


def test_names_of_keras_need_no_consent(tmp_path):
    """A Lambda of a plain Keras function loads as it is, in either kind of file."""
    import keras

    for suffix in KINDS:
        function = keras.layers.Lambda(keras.activations.softplus)
        path = tmp_path / f"model.{suffix}"
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), function]).save(path)
        assert foldbn.inspect(path).source.format.startswith("keras")


def test_the_command(tmp_path):
    """The command hands ``--unsafe`` on; a refusal names both ways out."""
    import keras

    path = tmp_path / "model.keras"
    double_it = keras.layers.Lambda(lambda x: 2 * x, name="lambda")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), double_it]).save(path)
    command = [sys.executable, "-m", "foldbn", "inspect", str(path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    hint = refused.stderr.replace("\n", " ")
    assert "'lambda_' in --custom-objects FILE.py" in hint
    assert "--unsafe" in hint
    done = subprocess.run([*command, "--unsafe"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

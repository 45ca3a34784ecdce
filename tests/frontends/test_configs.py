"""What a configuration may name: Keras's own and the user's; no code, no files, no machine."""

from __future__ import annotations

import json
from typing import Any

import h5py
import pytest

from foldbn.errors import FoldbnError, Unreadable, Unsafe, Unsupported
from foldbn.frontends import configs
from foldbn.frontends.configs import check_config


def layer(kind: str, module: str | None = None, /, **config: Any) -> dict[str, Any]:
    """Return a layer as a file has it; those of Keras 1 and 2 name no module."""
    found: dict[str, Any] = {"class_name": kind, "config": {"name": "inner", **config}}
    return found if module is None else {**found, "module": module}


def function(name: str, module: str, kind: str = "function") -> dict[str, Any]:
    """Return a layer with a function that is stored by its name."""
    stored = {"class_name": kind, "config": name, "module": module, "registered_name": name}
    return layer("Activation", "keras.layers", activation=stored)


def model(inner: dict[str, Any]) -> dict[str, Any]:
    """Return a model with a layer deep inside."""
    wrapped = layer("TimeDistributed", layer=inner)
    return layer("Functional", layers=[layer("Sequential", layers=[wrapped])])


CODE = {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}}
OUTSIDE = {
    "a Lambda of Keras 3": layer("Lambda", "keras.layers", function=CODE),
    "a Lambda of Keras 2": layer("Lambda", function=["4wEA", None, None], function_type="lambda"),
    "a lambda elsewhere": layer("Activation", activation=CODE),
    "TFSMLayer": layer("TFSMLayer", "keras.layers", filepath="/elsewhere"),
    "TorchModuleWrapper": layer("TorchModuleWrapper", "keras.layers", module="gANj"),
    "JaxLayer": layer("JaxLayer", "keras.layers", call_fn=CODE),
    "a vocabulary file": layer("StringLookup", vocabulary="/etc/passwd"),
    "a vocabulary address": layer("TextVectorization", vocabulary="http://localhost/words"),
    "an older vocabulary file": layer("StringLookup", vocabulary_file="/etc/passwd"),
    "get_file": function("get_file", "keras.utils"),
    "get_file as a class": layer("get_file", "keras.utils"),
    "load_model": function("load_model", "keras.models"),
    "load_model elsewhere": function("load_model", "keras.src.saving.saving_api"),
    "load_img": function("load_img", "keras.preprocessing.image"),
    "weights from the net": function("ResNet50", "keras.applications.resnet50"),
    "no more safety": function("enable_unsafe_deserialization", "keras.config"),
    "a data set": function("load_data", "keras.datasets.mnist"),
    "a callback": layer("ModelCheckpoint", "keras.callbacks", filepath="x"),
    "read_file": layer("read_file", "tensorflow.io"),
    "write_file": function("write_file", "tensorflow.io"),
    "py_function": function("py_function", "tensorflow"),
    "gfile": layer("GFile", "tensorflow.io.gfile"),
    "os.system": function("system", "os"),
    "a class of os": layer("system", "os"),
    "a package of Python's": layer("Popen", "subprocess"),
    "a module further in": function("urlopen", "urllib.request"),
    "platform": layer("GFile", "tensorflow.python.platform.gfile"),
}
STRANGERS = {
    "exec": function("exec", "builtins"),
    "eval by another name": function("eval", "builtins", "builtin_function_or_method"),
    "numpy": function("load", "numpy"),
    "a class of numpy": layer("DataSource", "numpy"),
    "somebody's": layer("Secret", "their_layers"),
    "a module like Keras's": layer("Dense", "keras_evil.layers"),
    "a Lambda of os": layer("Lambda", function="system", function_type="function", module="os"),
    "an op that writes": layer("TFOpLambda", function="io.write_file"),
    "an op of Python": layer("TFOpLambda", function="py_function"),
    "a slice that is none": layer("SlicingOpLambda", function="compat.v1.io.gfile.remove"),
    "a raw op that writes": layer("TensorFlowOpLayer", node_def={"op": "WriteFile"}),
    "a raw op of Python": layer("TensorFlowOpLayer", node_def={"op": "PyFunc"}),
}


@pytest.mark.parametrize("inner", OUTSIDE.values(), ids=OUTSIDE)
def test_what_reaches_outside(inner):
    """Code, files, the net and what loads them are refused, however deep inside."""
    with pytest.raises(Unsafe) as caught:
        check_config(model(inner), "model.h5")
    assert caught.value.exit_code == 3
    assert "model.h5" in caught.value.message


@pytest.mark.parametrize("inner", STRANGERS.values(), ids=STRANGERS)
def test_strangers(inner):
    """What is on no list is refused by its name."""
    with pytest.raises(Unsupported) as caught:
        check_config(model(inner), "model.h5")
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_a_module_is_named():
    """What is Python's own is refused as such; other modules are told with the name."""
    with pytest.raises(Unsafe, match=r"names os\.system, which is no layer or function of Keras"):
        check_config(model(function("system", "os")), "model.h5")
    with pytest.raises(Unsupported, match="does not know: 'Secret' of the module 'their_layers'"):
        check_config(model(layer("Secret", "their_layers")), "model.h5")
    with pytest.raises(Unsupported, match=r"does not know: 'scale'$"):  # any function is so stored
        check_config(model(function("scale", "builtins")), "model.h5")


def test_a_module_of_the_user_may_be_called_like_one_of_python():
    """A name that the user has given is the user's, whatever module the file names."""
    check_config(model(layer("Code", "code")), "model.h5", {"Code"})


def test_consent_is_for_lambdas_alone():
    """Running stored code is the user's choice for Lambda layers, and for nothing else."""
    for name, inner in OUTSIDE.items():
        if not name.startswith("a Lambda"):
            with pytest.raises(Unsafe):
                check_config(model(inner), "model.h5", unsafe=True)


@pytest.mark.parametrize("key", ["compile_config", "build_config", "training_config"])
def test_no_key_hides_others(key):
    """Arguments of a call may have any name; Keras makes whatever objects stand in them."""
    call = {"args": [], "kwargs": {key: OUTSIDE["a vocabulary file"]}}
    called = {**layer("Dense", "keras.layers"), "inbound_nodes": [call]}
    with pytest.raises(Unsafe, match="vocabulary file"):
        check_config(model(called), "model.h5")
    for beside in (called, layer("Dense", "keras.layers", **{key: OUTSIDE["TFSMLayer"]})):
        with pytest.raises(Unsafe):
            check_config(beside, "model.h5")


def test_a_lambda_does_not_hide_others():
    """What stands inside a Lambda layer beside its function is looked at."""
    spoilt = layer("Lambda", "keras.layers", function=CODE, extra=OUTSIDE["TFSMLayer"])
    with pytest.raises(Unsafe, match="TFSMLayer"):
        check_config(spoilt, "model.h5", {"inner"})
    disguised = layer("Dense", "keras.layers", function=OUTSIDE["TFSMLayer"], arguments={})
    with pytest.raises(Unsafe, match="TFSMLayer"):
        check_config(disguised, "model.h5")


USUAL = {
    "Keras 1": layer("Convolution2D", activation="relu", init="glorot_uniform"),
    "Keras 2": layer("Dense", kernel_initializer={"class_name": "VarianceScaling", "config": {}}),
    "TF 2.15": layer("Functional", "keras.src.engine.functional"),
    "Keras 2.13": layer("Dense", "keras.layers.core"),
    "tf.keras": layer("Dense", "tensorflow.python.keras.layers.core"),
    "tf_keras": layer("Dense", "tf_keras.src.layers.core.dense"),
    "Keras 3": layer("Functional", "keras.src.models.functional"),
    "an operation": layer("Relu", "keras.src.ops.nn"),
    "a policy": layer("Policy", "keras.mixed_precision"),
    "a newer policy": layer("DTypePolicy", "keras"),
    "an optimizer": layer("SGD", "keras.optimizers.experimental"),
    "an activation": function("relu", "keras.activations"),
    "an activation of builtins": function("relu", "builtins"),
    "a function of ops": function("abs", "keras.ops"),
    "an initializer": layer("GlorotUniform", "keras.initializers", seed=None),
    "TFOpLambda": layer("TFOpLambda", "keras.src.layers.core.tf_op_layer", function="nn.relu"),
    "a slice": layer("SlicingOpLambda", function="__operators__.getitem"),
    "a raw op": layer("TensorFlowOpLayer", node_def={"op": "Mul"}),
    "a vocabulary": layer("StringLookup", vocabulary=["a", "b"]),
    "a named Lambda": layer(
        "Lambda",
        "keras.layers",
        function=function("relu", "keras.activations")["config"]["activation"],
    ),
    "a seed": layer("SeedGenerator", "keras.random"),
}


@pytest.mark.parametrize("inner", USUAL.values(), ids=USUAL)
def test_what_files_name(inner):
    """What Keras 1, 2 and 3 wrote passes."""
    check_config(model(inner), "model.h5")


def test_functions_of_the_user():
    """What the user has given passes by its name, whatever module the file names."""
    for inner, name in (
        (STRANGERS["somebody's"], "Secret"),
        (layer("theirs>Secret", "theirs"), "Secret"),
        (function("scale", "builtins"), "scale"),
        (OUTSIDE["a Lambda of Keras 3"], "inner"),
        (layer("Lambda", function=function("f", "builtins")["config"]["activation"]), "f"),
    ):
        with pytest.raises(FoldbnError):
            check_config(model(inner), "model.h5")
        check_config(model(inner), "model.h5", {name})


def test_a_configuration_beyond_reason(tmp_path):
    """A configuration of many megabytes is not parsed."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver="latest") as file:
        text = json.dumps(model(layer("Dense", note="x" * 2**25)))
        file.attrs.create("model_config", text)
    with pytest.raises(Unsafe, match=r"configuration .* has 33,"):
        configs.read_config(path, "keras-h5")


@pytest.mark.parametrize("kind", ["CustomScaleLayer", "LayerScale", "StochasticDepth"])
def test_layers_of_the_applications(kind):
    """Networks of keras.applications have layers of their own; what loads weights is none."""
    module = "keras.src.applications.convnext"
    check_config(model({**layer(kind), "module": module}), "model.keras")
    with pytest.raises(Unsafe, match="reaches outside"):
        check_config(model({**layer("ConvNeXtTiny"), "module": module}), "model.keras")


@pytest.mark.parametrize("kind", [["Dense"], {"name": "Dense"}, 3])
def test_a_class_is_named_by_text(kind):
    """Anything else would slip past the lists of names."""
    with pytest.raises(Unreadable, match="whose name is no text"):
        check_config(model({"class_name": kind, "config": {}}), "model.h5")

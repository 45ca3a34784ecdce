"""Hard case 10: layers, losses and metrics that are not of Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import Unsupported, UsageError
from tests.hard_cases.proving import outcomes, stack

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


OTHERS = """
import keras
from keras.layers import Dense


class {names[0]}(keras.layers.Layer):
    pass


class {names[1]}(keras.layers.Layer):
    pass


def {names[2]}(x):
    return x


def {names[3]}(x):
    return x
"""


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "it defines no class or function"),
        (
            OTHERS.format(names=["Tripling", "Other", "near", "far"]),
            "Other, Tripling, far and 1 more",
        ),
        ("from keras.layers import Dense", "it defines Dense"),
    ],
    ids=["nothing", "others", "imported"],
)
def test_10_another_file_of_custom_objects(custom, suffix, text, told):
    """A file that was given and lacks the layer is named, with what it has in place of it."""
    model, definitions = custom
    definitions.write_text(text)
    with pytest.raises(Unsupported, match=rf"layers\.py' does not define 'Doubling'.*{told}") as no:
        foldbn.inspect(model.with_suffix(suffix), custom_objects=definitions)
    assert no.value.exit_code == 3
    assert "Dense," not in no.value.message
    assert "takes a Python file" not in no.value.hint


PACKAGED = """
import keras
{of_mine}
def halved(x):
    return x / 2
{of_mine}
class Doubling(keras.layers.Layer):
    def call(self, x):
        return x + x

    def compute_output_shape(self, shape):
        return shape
"""
REGISTERED = "@keras.saving.register_keras_serializable('mine')"


@pytest.mark.parametrize("now", ["", REGISTERED], ids=["plain", "registered"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_10_registered_in_a_package(tmp_path, suffix, now):
    """What a file says is ``mine>Doubling`` may be defined as plain Doubling, functions too."""
    import keras

    names: dict[str, Any] = {"__name__": "layers"}
    registry = keras.saving.get_custom_objects()
    before = dict(registry)
    exec(PACKAGED.format(of_mine=REGISTERED), names)  # noqa: S102 - the text above
    try:
        model = stack(
            (4,),
            keras.layers.Dense(3, name="dense"),
            keras.layers.BatchNormalization(name="bn"),
            names["Doubling"](name="twice"),
            keras.layers.Dense(3, activation=names["halved"], name="last"),
        )
        model.save(tmp_path / f"m{suffix}")
    finally:
        registry.clear()
        registry.update(before)
    definitions = tmp_path / "own.py"
    definitions.write_text(PACKAGED.format(of_mine=now))
    try:
        found = foldbn.inspect(tmp_path / f"m{suffix}", custom_objects=definitions)
    finally:
        registry.clear()
        registry.update(before)
    assert outcomes(found) == {"bn": "folded"}


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

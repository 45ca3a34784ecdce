"""Code that a Lambda layer stores: what of it is run, and what it finds."""

from __future__ import annotations

import base64
import marshal
from typing import Any

import numpy as np
import pytest

from foldbn.errors import FoldbnError, Unsafe, Unsupported
from foldbn.frontends.legacy.bytecode import load_function
from foldbn.frontends.legacy.lambdas import check_lambda, lambda_layer
from tests.frontends.legacy.stored_functions import (
    OLD,
    X,
    code,
    double,
    keras_2,
    keras_3,
    named,
    stored,
)

FORMS = {
    "Keras 3": keras_3(stored(double)),
    "Keras 2": keras_2([code(double), None, None]),
    "Keras 2, by its library": keras_3(
        {"class_name": "__lambda__", "config": {"value": [code(double), None, None]}}
    ),
    "Keras 1": keras_2([marshal.dumps(double.__code__).decode("raw_unicode_escape"), None, None]),
    "tuple": keras_2({"class_name": "__tuple__", "items": [code(double), None, None]}),
}


@pytest.mark.parametrize("config", FORMS.values(), ids=FORMS)
def test_stored_code(config):
    """Code of this Python is run if the user says so, and otherwise refused with two ways out."""
    with pytest.raises(Unsafe, match="stored Python code; foldbn does not run it") as caught:
        lambda_layer(config, {}, unsafe=False)
    assert caught.value.exit_code == 3
    assert "--unsafe" in caught.value.hint
    assert "--custom-objects" in caught.value.hint
    np.testing.assert_array_equal(lambda_layer(config, {}, unsafe=True)(X), 2 * X)


def test_what_stored_code_finds():
    """Code finds the usual modules, its defaults, what it closed over, and the user's functions."""
    factor = 3.0

    def function(x: Any, power: int = 2) -> Any:
        return tf.math.pow(K.abs(np.float32(factor) * keras.ops.relu(x)), power) + mine(x)  # noqa: F821

    config = keras_2([code(function), [3], [factor]])
    layer = lambda_layer(config, {"mine": double}, unsafe=True)
    np.testing.assert_allclose(layer(X), (3 * X.clip(0)) ** 3 + 2 * X, rtol=1e-5)


def test_arguments_of_stored_code():
    """What the layer hands to its function besides the tensor is handed on."""

    def function(x: Any, factor: float, shift: Any) -> Any:
        return x * factor + shift

    config = keras_2([code(function), None, None], arguments={"factor": 2.0, "shift": 1})
    np.testing.assert_array_equal(lambda_layer(config, {}, unsafe=True)(X), 2 * X + 1)


@pytest.mark.parametrize("version", OLD)
def test_code_of_another_python(version):
    """Code of another Python is never run, whatever the user says; the reason is given."""
    with pytest.raises(Unsafe) as caught:
        lambda_layer(keras_2([OLD[version], None, None]), {}, unsafe=False)
    assert "--unsafe" not in caught.value.hint
    with pytest.raises(Unsupported, match="another version of Python") as caught:
        lambda_layer(keras_2([OLD[version], None, None]), {}, unsafe=True)
    assert "'lambda_1' in --custom-objects" in caught.value.hint


def spoilt() -> dict[str, Any]:
    """Return code that no Python wrote, or another."""
    raw = marshal.dumps(double.__code__)
    text = base64.b64encode

    def changed(place: int, value: int) -> str:
        return text(raw[:place] + bytes([value]) + raw[place + 1 :]).decode()

    start = raw.index(double.__code__.co_code)
    return {
        "nothing": "",
        "no code": text(marshal.dumps("code")).decode(),
        "no marshal": text(b"\xff" * 99).decode(),
        "cut": text(raw[:-9]).decode(),
        "cut early": text(raw[:30]).decode(),
        "no instruction": changed(start + 2, 255),
        "another beginning": changed(start, 3),
        "another layout": changed(0, ord("t")),
        "not base64": "€€€",
        "a number": 7,
    }


@pytest.mark.parametrize("text", spoilt().values(), ids=spoilt())
def test_spoilt_code(text):
    """What is no code of this Python is refused, and the process lives."""
    for form in (keras_2([text, None, None]), keras_2(text), keras_2([])):
        with pytest.raises(FoldbnError) as caught:
            check_lambda(form, "f", (), unsafe=True)
        assert caught.value.exit_code == 3


def test_instructions_of_another_width():
    """An instruction whose empty room has another length is of another version."""

    def function(x: Any) -> Any:
        return x.some.attribute

    assert load_function([code(function), None, None], {}) is not None
    body = function.__code__.co_code
    assert bytes(4) in body  # room after an attribute
    place = body.index(bytes(4))
    for wrong in (
        body[:place] + b"\x09\x00" + body[place + 2 :],
        body[: place + 2] + body[place + 4 :],
    ):
        other = function.__code__.replace(co_code=wrong)
        text = base64.b64encode(marshal.dumps(other)).decode()
        assert load_function([text, None, None], {}) is None


def test_masks():
    """A Lambda that changes masks by a function is not taken for one that does not."""
    with pytest.raises(Unsupported, match="changes masks"):
        lambda_layer(
            keras_3(named("relu", "keras.activations"), mask=stored(double)), {}, unsafe=True
        )

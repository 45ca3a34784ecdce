"""SavedModels of one call, and the refusal of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import foldbn
from foldbn.errors import FoldbnError


def save_call(path: Path, call: Callable[..., Any], **attributes: Any) -> Path:
    """Save ``call(tf, x)`` as a SavedModel of version 2, and `attributes` with it."""
    import tensorflow as tf

    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    function = tf.function(
        lambda x: {"y": call(tf, x)},
        input_signature=[tf.TensorSpec((None, 3), name="x")],
        autograph=False,
    )
    module.call = function
    tf.saved_model.save(module, str(path), signatures={"serving_default": function})
    return path


def assert_refused(path: Path, kind: type[FoldbnError], words: str) -> None:
    """Assert that inspection refuses a model for a reason."""
    with pytest.raises(kind, match=words) as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3
    assert caught.value.hint

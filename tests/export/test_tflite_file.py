"""What is said where TensorFlow's converter refuses."""

from __future__ import annotations

import pytest

from foldbn.errors import ConversionFailed
from foldbn.export import to_tflite
from tests import journeys


def test_refusal_says_what_is_wrong():
    """The converter quotes the line of Python that called it, which is nobody's fault."""
    import keras

    model = journeys.of_keras(keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(2)])).model
    with pytest.raises(
        ConversionFailed, match=r"TFLite: 'tf\.TensorListReserve' op requires"
    ) as no:
        to_tflite(model, batch_size=None)
    assert "leave --batch-size out" in no.value.hint
    assert not any(word in no.value.message for word in (".py", "to_tflite", ":1:", "error:"))

"""Images of any size are enlarged in TFLite, and convolved after that."""

from __future__ import annotations

import pytest

from tests.hard_cases.proving import outcomes, prove, stack


@pytest.mark.parametrize("rank", [2, 3])
def test_convolution_behind_upsampling(tmp_path, rank):
    """The channels of an enlarged image are known, whatever its lengths."""
    import keras

    layers = keras.layers
    enlarge = getattr(layers, f"UpSampling{rank}D")(2)
    conv = getattr(layers, f"Conv{rank}D")(2, 1)
    model = stack((*[None] * rank, 3), layers.BatchNormalization(name="bn"), enlarge, conv)
    assert outcomes(prove(model, tmp_path)) == {"bn": "folded"}

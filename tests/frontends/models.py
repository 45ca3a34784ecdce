"""Small Keras models, each with one construct that a frozen graph writes in its own way.

Every entry of `MODELS` has a builder, the model's input shape, and what is to become of its
normalization, as `tests.graphs.tell` tells it.
"""

from __future__ import annotations

from typing import Any

from tests.frontends.building import Model, chain, layer, norm


def _two_norms_on_one_dense(layers: Any, tensor: Any) -> Any:
    shared = layers.Dense(3, name="shared")
    first = layers.BatchNormalization(name="first")(shared(tensor))
    second = layers.BatchNormalization(name="second")(shared(layers.Dense(4, name="d")(tensor)))
    return layers.Add()([first, second])


def _concatenated(layers: Any, tensor: Any) -> Any:
    both = [layers.Dense(n, name=f"d{n}")(tensor) for n in (3, 4)]
    return norm()(layers)(layers.Concatenate()(both))


def _added(layers: Any, tensor: Any) -> Any:
    both = [layers.Dense(3, name=name)(tensor) for name in "ab"]
    return norm()(layers)(layers.Add()(both))


def _multiplied(layers: Any, tensor: Any) -> Any:
    both = [layers.Dense(3, name=name)(tensor) for name in "ab"]
    return norm()(layers)(layers.Multiply()(both))


def _beside_lstm(layers: Any, tensor: Any) -> Any:
    normed = norm()(layers)(layers.Dense(5, name="dense")(tensor))
    return layers.LSTM(3, name="lstm")(normed)


def _after_lstm(layers: Any, tensor: Any) -> Any:
    return chain(layer("LSTM", 4), norm(), layer("Dense", 3, name="dense"))(layers, tensor)


def _two_readers(layers: Any, tensor: Any) -> Any:
    normed = norm()(layers)(layers.Dense(4, activation="tanh", name="d")(tensor))
    return layers.Add()([layers.Dense(3, name=name)(normed) for name in "ab"])


IMAGE = (6, 6, 4)
AFTER_CONV = "bn folded backward into conv"
C = {"name": "conv"}

MODELS: dict[str, Model] = {
    "conv valid": Model(chain(layer("Conv2D", 5, 3, **C), norm()), IMAGE, AFTER_CONV),
    "conv same": Model(
        chain(layer("Conv2D", 5, 3, padding="same", use_bias=False, **C), norm()), IMAGE, AFTER_CONV
    ),
    "conv strided": Model(
        chain(layer("Conv2D", 5, 3, strides=2, padding="same", **C), norm()), IMAGE, AFTER_CONV
    ),
    "norm, conv valid": Model(
        chain(norm(), layer("Conv2D", 5, 3, **C)), IMAGE, "bn folded forward into conv"
    ),
    "norm, conv same": Model(
        chain(norm(), layer("Conv2D", 5, 3, padding="same", **C)), IMAGE, "bn stays"
    ),
    "norm, conv same that pads nothing": Model(
        chain(norm(), layer("Conv2D", 5, 2, strides=2, padding="same", **C)),
        IMAGE,
        "bn folded forward into conv",
    ),
    "norm without shift, conv same": Model(
        chain(norm(center=False), layer("Conv2D", 5, 3, padding="same", **C)), IMAGE, "bn stays"
    ),
    "grouped conv": Model(chain(layer("Conv2D", 6, 3, groups=2, **C), norm()), IMAGE, AFTER_CONV),
    "norm, grouped conv": Model(
        chain(norm(), layer("Conv2D", 6, 3, groups=2, **C)), IMAGE, "bn folded forward into conv"
    ),
    "dilated conv": Model(
        chain(layer("Conv2D", 5, 3, dilation_rate=2, **C), norm()), IMAGE, AFTER_CONV
    ),
    "dilated conv same": Model(
        chain(layer("Conv2D", 5, 3, dilation_rate=2, padding="same", **C), norm()),
        IMAGE,
        AFTER_CONV,
    ),
    "norm, dilated conv": Model(
        chain(norm(), layer("Conv2D", 5, 2, dilation_rate=2, **C)),
        IMAGE,
        "bn folded forward into conv",
    ),
    "depthwise multiplier": Model(
        chain(layer("DepthwiseConv2D", 3, depth_multiplier=2, **C), norm()), IMAGE, AFTER_CONV
    ),
    "norm, depthwise multiplier": Model(
        chain(norm(), layer("DepthwiseConv2D", 3, depth_multiplier=2, **C)),
        IMAGE,
        "bn folded forward into conv",
    ),
    "dilated depthwise": Model(
        chain(layer("DepthwiseConv2D", 3, dilation_rate=2, **C), norm()), IMAGE, AFTER_CONV
    ),
    "separable": Model(
        chain(layer("SeparableConv2D", 5, 3, padding="same", **C), norm()), IMAGE, AFTER_CONV
    ),
    "norm, separable": Model(
        chain(norm(), layer("SeparableConv2D", 5, 3, depth_multiplier=2, **C)),
        IMAGE,
        "bn folded forward into conv",
    ),
    "transposed": Model(
        chain(layer("Conv2DTranspose", 3, 3, strides=2, **C), norm()), IMAGE, AFTER_CONV
    ),
    "norm, transposed": Model(
        chain(norm(), layer("Conv2DTranspose", 3, 3, strides=2, **C)), IMAGE, "bn stays"
    ),
    "norm, transposed 1x1": Model(
        chain(norm(), layer("Conv2DTranspose", 3, 1, **C)), IMAGE, "bn folded forward into conv"
    ),
    "conv 1d": Model(chain(layer("Conv1D", 5, 3, **C), norm()), (8, 3), AFTER_CONV),
    "conv 1d causal": Model(
        chain(layer("Conv1D", 5, 3, padding="causal", **C), norm()), (8, 3), AFTER_CONV
    ),
    "norm, conv 1d": Model(
        chain(norm(), layer("Conv1D", 5, 3, **C)), (8, 3), "bn folded forward into conv"
    ),
    "norm, conv 1d causal": Model(
        chain(norm(), layer("Conv1D", 5, 3, padding="causal", **C)), (8, 3), "bn stays"
    ),
    "conv 3d": Model(chain(layer("Conv3D", 3, 2, **C), norm()), (4, 4, 4, 2), AFTER_CONV),
    "norm, conv 3d": Model(
        chain(norm(), layer("Conv3D", 3, 2, **C)), (4, 4, 4, 2), "bn folded forward into conv"
    ),
    "dense": Model(
        chain(layer("Dense", 3, name="dense"), norm()), (5,), "bn folded backward into dense"
    ),
    "dense rank 3": Model(
        chain(layer("Dense", 3, name="dense"), norm()), (4, 5), "bn folded backward into dense"
    ),
    "norm, dense rank 3": Model(
        chain(norm(), layer("Dense", 3, name="dense")), (4, 5), "bn folded forward into dense"
    ),
    "norm of rows, dense rank 3": Model(
        chain(norm(axis=1), layer("Dense", 3, name="dense")), (4, 5), "bn stays"
    ),
    "dense rank 4": Model(
        chain(layer("Dense", 3, name="dense"), norm()), (2, 3, 5), "bn folded backward into dense"
    ),
    "channels first": Model(
        chain(
            layer("Permute", (3, 1, 2), name="permute"),
            norm(axis=1),
            layer("Flatten", name="flatten"),
            layer("Dense", 3, name="dense"),
        ),
        IMAGE,
        "bn folded forward into dense across flatten",
    ),
    "norm of rows": Model(
        chain(
            layer("Activation", "tanh"),
            norm(axis=1),
            layer("Flatten", name="flatten"),
            layer("Dense", 3, name="dense"),
        ),
        IMAGE,
        "bn folded forward into dense across flatten",
    ),
    "zero padding": Model(
        chain(norm(), layer("ZeroPadding2D", 1, name="pad"), layer("Conv2D", 5, 3, **C)),
        IMAGE,
        "bn stays",
    ),
    "conv, zero padding": Model(
        chain(layer("ZeroPadding2D", 1), layer("Conv2D", 5, 3, **C), norm()), IMAGE, AFTER_CONV
    ),
    "average pooling": Model(
        chain(layer("Conv2D", 5, 3, **C), layer("AveragePooling2D", 2, name="pool"), norm()),
        IMAGE,
        "bn folded backward into conv across pool",
    ),
    "padded average pooling": Model(
        chain(
            layer("Conv2D", 5, 3, **C),
            layer("AveragePooling2D", 3, padding="same", name="pool"),
            norm(),
        ),
        IMAGE,
        "bn folded backward into conv across pool",
    ),
    "global average pooling": Model(
        chain(layer("Conv2D", 5, 3, **C), layer("GlobalAveragePooling2D", name="pool"), norm()),
        IMAGE,
        "bn folded backward into conv across pool",
    ),
    "negative scale and max pooling": Model(
        chain(layer("Conv2D", 5, 3, **C), layer("MaxPooling2D", 2, name="pool"), norm()),
        IMAGE,
        "bn stays",
    ),
    "negative scale and global max pooling": Model(
        chain(layer("Conv2D", 5, 3, **C), layer("GlobalMaxPooling2D", name="pool"), norm()),
        IMAGE,
        "bn stays",
    ),
    "prelu": Model(
        chain(layer("Dense", 4, name="dense"), norm(), layer("PReLU")),
        (5,),
        "bn folded backward into dense",
    ),
    "prelu, norm": Model(
        chain(layer("PReLU", name="prelu"), norm(), layer("Dense", 3, name="dense")),
        (5,),
        "bn folded forward into dense",
    ),
    "concatenation": Model(_concatenated, (5,), "bn folded backward into d3 d4 across concatenate"),
    "addition": Model(_added, (5,), "bn folded backward into a b across add"),
    "multiplication": Model(_multiplied, (5,), "bn stays"),
    "two readers": Model(_two_readers, (5,), "bn folded forward into a b"),
    "shared dense, two norms": Model(
        _two_norms_on_one_dense,
        (4,),
        "first folded backward into shared; second folded backward into shared",
    ),
    "norm before lstm": Model(_beside_lstm, (4, 5), "bn folded backward into dense"),
    "norm after lstm": Model(_after_lstm, (4, 5), "bn folded forward into dense"),
    "norm alone": Model(chain(norm()), (5,), "bn stays"),
    "two norms": Model(
        chain(norm("one"), norm("two"), layer("Dense", 3, name="dense")),
        (5,),
        "one merged forward into two; two folded forward into dense",
    ),
    "sigmoid on both sides": Model(
        chain(layer("Activation", "sigmoid"), norm(), layer("Activation", "tanh")), (5,), "bn stays"
    ),
    "rescaling": Model(
        chain(layer("Rescaling", 0.25, offset=-1, name="bn"), layer("Dense", 3, name="dense")),
        (5,),
        "bn folded forward into dense",
    ),
}

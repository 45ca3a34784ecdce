"""What the repairs do: each function changes one layer in place. `repairs` says when."""

from __future__ import annotations

from foldbn.errors import Unsupported
from foldbn.frontends.legacy import keras1
from foldbn.frontends.legacy.arguments import takes
from foldbn.frontends.legacy.old import OldLayer
from foldbn.frontends.legacy.values import dtype_name, plain

_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
}
_PARTS = ("layer", "backward_layer", "cell", "cells")  # nested layers mend themselves
_FUSED_EPSILON = 1.001e-5  # tf.nn.fused_batch_norm raises what is smaller
_FUSED, _FUSED_VOLUMES = (2, 2), (2, 6)  # versions that use it on images, and on volumes


def keras_1(layer: OldLayer) -> None:
    """Translate names and arguments of Keras 1."""
    if layer.writer.major == 1:
        keras1.mend(layer)


def rename(layer: OldLayer) -> None:
    """Give a class that went the name of the one that does the same."""
    layer.kind = _RENAMED.get(layer.kind, layer.kind)


def drop_training(layer: OldLayer) -> None:
    """Drop initializers, regularizers and constraints."""
    ends = ("_initializer", "_regularizer", "_constraint")
    layer.config = {key: value for key, value in layer.config.items() if not key.endswith(ends)}


def unwrap_values(layer: OldLayer) -> None:
    """Unwrap numbers, tuples and lists."""
    for key, value in layer.config.items():
        if key not in _PARTS and key != "dtype" and not key.endswith("activation"):
            layer.config[key] = plain(value)


def name_dtype(layer: OldLayer) -> None:
    """Name a type that is given as the configuration of a policy."""
    if "dtype" in layer.config:
        layer.config["dtype"] = dtype_name(layer.config["dtype"])


def pass_through(layer: OldLayer) -> None:
    """Make a layer hand on its input, whatever its arguments."""
    layer.config = {key: value for key, value in layer.config.items() if key in ("name", "dtype")}
    layer.own = "Identity"


def settle_data_format(layer: OldLayer) -> None:
    """Set data_format where it is left open: Keras 3 would look for it in the user's home."""
    missing = layer.config.get("data_format") is None
    if missing and not layer.own and takes(layer.kind, "data_format"):
        layer.config["data_format"] = "channels_last"


def fused_epsilon(layer: OldLayer) -> None:
    """Let a small epsilon be raised where Keras 2 called the fused kernel."""
    writer = layer.writer
    unfused = layer.config.get("renorm") or layer.config.get("virtual_batch_size")
    small = layer.config.get("epsilon", 1) < _FUSED_EPSILON
    if unfused or not small or writer.version < _FUSED:
        return
    layer.mixin = "FusedEpsilon"
    volumes = not writer.stand_alone and writer.version >= _FUSED_VOLUMES
    layer.attributes = {
        "fused_ranks": (4, 5) if volumes else (4,),
        "fused_axes": (-1,) if writer.stand_alone else (1, -1),
    }


def virtual_batches(layer: OldLayer) -> None:
    """Drop virtual_batch_size; the axes that are stored with it count one axis too many."""
    if layer.config.pop("virtual_batch_size", None) is not None:
        axis = layer.config.get("axis", -1)
        axes = axis if isinstance(axis, list) else [axis]
        layer.config["axis"] = [each - 1 if each > 1 else each for each in axes]


def renorm(layer: OldLayer) -> None:
    """Drop batch renormalization: at inference the moving statistics are used all the same."""
    for key in ("renorm", "renorm_clipping", "renorm_momentum"):
        layer.config.pop(key, None)


def axes(layer: OldLayer) -> None:
    """Make an axis a number; over several axes the layer is foldbn's own."""
    axis = layer.config.get("axis", -1)
    if isinstance(axis, list) and len(axis) == 1:
        layer.config["axis"] = int(axis[0])
    elif isinstance(axis, list):
        layer.own = "BatchNormalization over several axes"
        layer.config.pop("momentum", None)


def meeting_masks(layer: OldLayer) -> None:
    """Let merged layers be masked where all are valid."""
    layer.mixin = "MeetingMasks"


def repeated_output(layer: OldLayer) -> None:
    """Let stand-alone Keras's Bidirectional repeat outputs at masked steps."""
    if layer.writer.stand_alone:
        layer.mixin = "RepeatedOutput"


def leaky_slope(layer: OldLayer) -> None:
    """Rename alpha of LeakyReLU."""
    if "alpha" in layer.config:
        layer.config["negative_slope"] = float(layer.config.pop("alpha"))


def thresholded(layer: OldLayer) -> None:
    """Take foldbn's ThresholdedReLU."""
    layer.own = "ThresholdedReLU"


def corner_anchored(layer: OldLayer) -> None:
    """Take foldbn's UpSampling2D for the old bilinear formula."""
    if layer.config.get("interpolation") == "bilinear" and layer.writer.stand_alone:
        layer.own = "UpSampling2D anchored at the corner"
        del layer.config["interpolation"]


def cudnn(layer: OldLayer) -> None:
    """Make the layers of cuDNN those that compute the same anywhere."""
    layer.kind = layer.kind.removeprefix("CuDNN")
    layer.config |= {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    if layer.kind == "GRU":
        layer.config["reset_after"] = True


def reset_before(layer: OldLayer) -> None:
    """Set reset_after, which the first versions did not have, to what they did."""
    layer.config.setdefault("reset_after", False)


def category_encoding(layer: OldLayer) -> None:
    """Rename the arguments of CategoryEncoding."""
    if "max_tokens" in layer.config:
        layer.config["num_tokens"] = layer.config.pop("max_tokens")
    if layer.config.get("output_mode") == "binary":
        layer.config["output_mode"] = "multi_hot"


def refuse_sparse(layer: OldLayer) -> None:
    """Refuse inputs that are no dense tensors."""
    for key in ("sparse", "ragged"):
        if layer.config.get(key):
            raise Unsupported(
                f"input {layer.config.get('name')!r} is {key}: foldbn takes dense tensors"
            )

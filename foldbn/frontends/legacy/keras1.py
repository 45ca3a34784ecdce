"""Layers of Keras 1 under their names and arguments of Keras 2."""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.legacy.old import OldLayer

_CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
_ARGUMENTS = {
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "length": "size",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
_EMBEDDING = {"input_dim", "output_dim"}  # these kept their names there
_WINDOWS = (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3"))
_DROPPED = (
    "batch_input_shape",
    "consume_less",
    "forget_bias_init",
    "init",
    "inner_init",
    "input_dtype",
    "input_length",
    "weights",
)
_MERGES = {
    "ave": "Average",
    "concat": "Concatenate",
    "dot": "Dot",
    "max": "Maximum",
    "mul": "Multiply",
    "sum": "Add",
}
_ORDERS = {"tf": "channels_last", "th": "channels_first"}


def mend(layer: OldLayer) -> None:
    """Give a layer of Keras 1 the class and arguments that Keras 2 had for it.

    Raises:
        Unsupported: it does what no layer of Keras 3 does.
    """
    if layer.kind == "Merge":
        _mend_merge(layer)
        return
    if layer.kind == "BatchNormalization" and layer.config.pop("mode", 0) != 0:
        raise Unsupported(
            f"layer {layer.config.get('name')!r} (BatchNormalization) has mode 1 or 2 of Keras 1:"
            " it normalizes by the statistics of its input, not by stored ones"
        )
    if layer.kind == "InputLayer":
        layer.config["dtype"] = layer.config.pop("input_dtype", None)
        return
    config = _renamed(layer)
    if "data_format" in config:
        config["data_format"] = _ORDERS.get(config["data_format"], config["data_format"])
    layer.kind = _CLASSES.get(layer.kind, layer.kind)
    if layer.kind == "Conv2DTranspose":
        layer.output_shape = config.pop("output_shape", None)
    if layer.kind.startswith("ZeroPadding"):
        config["padding"] = _padding(layer.kind, config["padding"])
    layer.config = config


def _renamed(layer: OldLayer) -> dict[str, Any]:
    config = {key: value for key, value in layer.config.items() if key not in _DROPPED}
    kept = _EMBEDDING if layer.kind == "Embedding" else set()
    config.pop("dropout" if kept else "input_dim", None)
    for old, new in _ARGUMENTS.items():
        if old in config and old not in kept:
            config[new] = config.pop(old)
    for window in _WINDOWS:
        if window[0] in config:
            config["kernel_size"] = [config.pop(key) for key in window]
    return config


def _padding(kind: str, stored: Any) -> Any:
    """Return ``(top, bottom, left, right)`` and its dictionary as pairs for each axis."""
    if isinstance(stored, dict):
        sides = ("top_pad", "bottom_pad", "left_pad", "right_pad")
        stored = [stored.get(side, 0) for side in sides[2 if kind.endswith("1D") else 0 :]]
    if isinstance(stored, list) and len(stored) == 4:
        return [stored[:2], stored[2:]]
    return stored


def _mend_merge(layer: OldLayer) -> None:
    mode, config = layer.config.get("mode"), {"name": layer.config.get("name")}
    if not isinstance(mode, str) or mode not in _MERGES:
        raise Unsupported(
            f"layer {config['name']!r} (Merge) of Keras 1 has the mode"
            f" {mode if isinstance(mode, str) else 'of a Python function'!r}",
            "give foldbn a SavedModel of the model",
        )
    layer.kind = _MERGES[mode]
    if mode == "concat":
        config["axis"] = layer.config.get("concat_axis", -1)
    if mode == "dot":
        axes = layer.config.get("dot_axes", -1)
        nested = isinstance(axes, list)
        config["axes"] = [a[0] if isinstance(a, list) else a for a in axes] if nested else axes
    layer.config = config

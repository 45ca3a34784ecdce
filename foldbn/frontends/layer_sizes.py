"""What a configuration says of one layer's size: its weights, and the shape it gives.

A shape is that of one sample, as lengths that are certain: 1 stands for one that is not known,
and the empty shape for one of unknown rank. Each result is a lower bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

Shape = tuple[int, ...]
Config = dict[str, Any]
_MOST = 10**18  # a length beyond it is taken for it: numbers stay short
_SAME = re.compile(
    r"Activation|ActivityRegularization|(Alpha|Gaussian|Spatial)?Dropout(\dD)?|GaussianNoise"
    r"|(Batch|Layer|Group|Unit)?Normalization|Identity|InputLayer|Rescaling|Masking|Softmax|ELU"
    r"|(P|Leaky|Thresholded)?ReLU"
)
_CONVOLUTION = re.compile(r"(Separable|Depthwise|Atrous)?Conv(?:olution)?(LSTM)?(\d)D(Transpose)?")
_GATES = {"LSTM": 4, "CuDNNLSTM": 4, "GRU": 3, "CuDNNGRU": 3, "SimpleRNN": 1}


def weights_of(kind: str, config: Config, shape: Shape) -> int:
    """Return how many numbers the weights of a layer have at least.

    Args:
        kind: its class.
        config: of it, plain.
        shape: of a sample of its input.
    """
    last = shape[-1] if shape else 1
    units = size(config.get("units", config.get("output_dim")))
    if gates := _GATES.get(kind.removesuffix("Cell")):
        return gates * units * (last + units)
    if found := _CONVOLUTION.fullmatch(kind):
        return _convolution(found, config, last)
    heads = size(config.get("num_heads")) * size(config.get("key_dim"))
    counts: dict[str, int] = {
        "Dense": last * units,
        "TimeDistributedDense": last * units,
        "Embedding": size(config.get("input_dim")) * size(config.get("output_dim")),
        "MultiHeadAttention": (last + 1) * heads,  # of the query and the key
        "EinsumDense": product(sizes(config.get("output_shape"))),
        "PReLU": 1 if config.get("shared_axes") else product(shape),
    }
    return counts.get(kind, 0)


def _convolution(found: re.Match[str], config: Config, last: int) -> int:
    area, filters = product(_window(found, config)), _filters(config)
    multiplier = size(config.get("depth_multiplier"))
    if found[2]:
        return 4 * area * filters * (last + filters)
    if found[1] == "Depthwise":
        return area * last * multiplier
    if found[1] == "Separable":
        return area * last * multiplier + last * multiplier * filters
    return area * max(1, last // size(config.get("groups"))) * filters


def _window(found: re.Match[str], config: Config) -> Shape:
    old = [config[key] for key in ("nb_row", "nb_col", "filter_length") if key in config]
    window = sizes(config.get("kernel_size", old))
    return window * int(found[3]) if len(window) == 1 else window


def _filters(config: Config) -> int:
    return size(config.get("filters", config.get("nb_filter")))


def shape_of(kind: str, config: Config, shapes: list[Shape]) -> Shape:
    """Return the shape that a layer gives, as far as it is certain.

    Args:
        kind: its class.
        config: of it, plain.
        shapes: of a sample of each input.
    """
    shape = shapes[0] if shapes else ()
    if kind in _GATES and not config.get("return_state"):
        units = size(config.get("units", config.get("output_dim")))
        return (1, units) if config.get("return_sequences") else (units,)
    found = _CONVOLUTION.fullmatch(kind)
    if found and not found[2]:
        last = shape[-1] if shape else 1
        own = found[1] == "Depthwise"
        out = last * size(config.get("depth_multiplier")) if own else _filters(config)
        return (*(1,) * int(found[3]), out)
    if not shape or _SAME.fullmatch(kind):
        return shape
    mover = _MOVERS.get(re.sub(r"\dD$", "", kind))
    return mover(shapes, config) if mover else ()


def _dense(shapes: list[Shape], config: Config) -> Shape:
    return (*shapes[0][:-1], size(config.get("units", config.get("output_dim"))))


def _embedding(shapes: list[Shape], config: Config) -> Shape:
    return (*shapes[0], size(config.get("output_dim")))


def _flat(shapes: list[Shape], _: Config) -> Shape:
    return (product(shapes[0]),)


def _reshaped(shapes: list[Shape], config: Config) -> Shape:
    target = config.get("target_shape")
    if not isinstance(target, list):
        return ()
    rest = product(tuple(size(length) for length in target if length != -1))
    return tuple(max(1, product(shapes[0]) // rest) if n == -1 else size(n) for n in target)


def _repeated(shapes: list[Shape], config: Config) -> Shape:
    return (size(config.get("n")), *shapes[0])


def _permuted(shapes: list[Shape], config: Config) -> Shape:
    places = sizes(config.get("dims"))
    if sorted(places) != [*range(1, len(shapes[0]) + 1)]:
        return ()
    return tuple(shapes[0][place - 1] for place in places)


def _merged(shapes: list[Shape], _: Config) -> Shape:
    if len({len(shape) for shape in shapes}) != 1:
        return ()
    return tuple(max(lengths) for lengths in zip(*shapes, strict=True))


def _concatenated(shapes: list[Shape], config: Config) -> Shape:
    """Add lengths along an axis, which counts the batch."""
    joined = list(_merged(shapes, config))
    axis = config.get("axis", -1)
    if (
        not joined
        or not isinstance(axis, int)
        or axis == 0
        or not -len(joined) <= axis <= len(joined)
    ):
        return ()
    place = axis - 1 if axis > 0 else axis
    joined[place] = sum(shape[place] for shape in shapes)
    return tuple(joined)


def _pooled(shapes: list[Shape], _: Config) -> Shape:
    return (*(1,) * (len(shapes[0]) - 1), shapes[0][-1])


def _reduced(shapes: list[Shape], config: Config) -> Shape:
    return _pooled(shapes, config) if config.get("keepdims") else shapes[0][-1:]


def _upsampled(shapes: list[Shape], config: Config) -> Shape:
    *spatial, last = shapes[0]
    factors = sizes(config.get("size"))
    factors = factors * len(spatial) if len(factors) == 1 else factors
    return (*(n * k for n, k in zip(spatial, factors, strict=False)), last)


def _padded(shapes: list[Shape], config: Config) -> Shape:
    *spatial, last = shapes[0]
    pads = config.get("padding")
    pads = pads if isinstance(pads, list) else [pads] * len(spatial)
    return (*(n + _padding(pad) for n, pad in zip(spatial, pads, strict=False)), last)


def _padding(value: Any) -> int:
    if isinstance(value, list):
        return sum(_padding(each) for each in value)
    return size(value) if isinstance(value, int) and value > 0 else 0


_MOVERS: dict[str, Callable[[list[Shape], Config], Shape]] = {
    "Dense": _dense,
    "Embedding": _embedding,
    "Flatten": _flat,
    "Reshape": _reshaped,
    "RepeatVector": _repeated,
    "Permute": _permuted,
    "Concatenate": _concatenated,
    **dict.fromkeys(("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"), _merged),
    **dict.fromkeys(("MaxPooling", "AveragePooling", "Cropping"), _pooled),
    **dict.fromkeys(("GlobalMaxPooling", "GlobalAveragePooling"), _reduced),
    "UpSampling": _upsampled,
    "ZeroPadding": _padded,
}


def size(value: Any) -> int:
    """Return a length of the configuration, or 1 for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 1:
        return 1
    return int(min(value, _MOST))


def sizes(value: Any) -> Shape:
    """Return lengths of the configuration; a single one is a shape of one."""
    return tuple(size(each) for each in (value if isinstance(value, list) else [value]))


def product(shape: Shape) -> int:
    """Return how many numbers a shape holds."""
    return math.prod(shape)

"""The inputs to verify on: the user's own, and generated ones of several kinds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from foldbn.bounds import UNKNOWN_LENGTH
from foldbn.errors import BadSamples, said
from foldbn.frontends.frozen import FLOATS, Port
from foldbn.frontends.ranges import Range
from foldbn.verification.batches import Samples

_FORMATS = "samples are .npy or .npz files"
_BEGINNINGS = (np.lib.format.MAGIC_PREFIX, b"PK\x03\x04", b"PK\x05\x06")  # what NumPy reads
_KINDS = ("uniform", "normal", "wide")
_GENERATED = 64
_MOST_ROWS = 2**31
_FEWEST = 6
_MOST_NUMBERS = 2**20
_BYTES = ("uint8", "int8")  # pixels
_INTEGERS = (*_BYTES, "uint16", "int16", "uint32", "int32", "uint64", "int64")
_MOST_OF_HALF, _MOST_OF_SINGLE = 3e4, 1e30
_WHOLE = {"bfloat16": 2**8, "float16": 2**11}  # beyond it some whole numbers are missing
_WHOLE_OF_SINGLE = 2**24


def generate_samples(
    ports: Sequence[Port],
    seed: int,
    like: Samples | None = None,
    ranges: Mapping[str, Range] | None = None,
) -> list[Samples]:
    """Return sets of samples for the inputs `ports`, by input name, batch axis first.

    Floats are numbers that the port's own type holds, and given in float32.
    Floats of the first set are uniform in [0, 1), with one sample of zeros and one of ones;
    of the second, normal with deviation 1; of the third, normal with deviation 3, or, where a
    model begins with a scale and shift, as one of images does, uniform in [-3, 3) after these, in
    [0, 1) after a scale alone, in [-|shift|, |shift|) after a shift alone that is greater than 3.
    The sets are kept apart because the greater the inputs, the greater the rounding.

    What looks up tables, integers and floats alike, is drawn from their rows, each number from
    those of its own table, and chooses the last rows in the last sample; other bytes are any; other
    integers are 0 or 1, which every table has rows for. Large inputs get fewer samples. Lengths
    that the model leaves open are those of the samples `like`, or 32.

    Args:
        ports: the inputs.
        seed: of the numbers.
        like: samples of the user's.
        ranges: what is known of the inputs, by name.
    """
    known = ranges or {}
    rng = np.random.default_rng(seed)
    shapes = [_sample_shape(port, like) for port in ports]
    greatest = max(int(np.prod(shape)) for shape in shapes)
    count = int(np.clip(_MOST_NUMBERS // max(greatest, 1), _FEWEST, _GENERATED))
    sizes = [len(part) for part in np.array_split(np.arange(count), len(_KINDS))]
    return [
        {
            port.name: _draw(rng, kind, (size, *shape), port.dtype, known.get(port.name, Range()))
            for port, shape in zip(ports, shapes, strict=True)
        }
        for kind, size in zip(_KINDS, sizes, strict=True)
    ]


def _sample_shape(port: Port, like: Samples | None) -> tuple[int, ...]:
    """Return the port's shape, with unknown lengths as in the user's own samples."""
    known = like[port.name].shape[1:] if like else [UNKNOWN_LENGTH] * len(port.shape[1:])
    return tuple(own or n for own, n in zip(port.shape[1:], known, strict=True))


def _draw(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str, known: Range
) -> NDArray[Any]:
    if dtype not in FLOATS:
        return _draw_integers(rng, shape, dtype, known.rows)
    values = _draw_floats(rng, kind, shape, dtype, known)
    if not np.any(known.rows):
        return values
    rows = np.minimum(known.rows, _WHOLE.get(dtype, _WHOLE_OF_SINGLE))
    ids = rng.integers(0, np.maximum(rows, 1), shape)
    ids[-1] = rows - 1
    return np.where(rows > 0, ids, values).astype(np.float32)


def _draw_floats(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str, known: Range
) -> NDArray[Any]:
    if kind == "uniform":
        values = rng.random(shape)
        values[0], values[-1] = 0, 1
        return _held(values, dtype)
    if kind == "normal":
        return _held(rng.standard_normal(shape), dtype)
    if known.is_mapped:
        after = known.after(rng.uniform(-1, 1, shape))
        return _held(_within((after - known.shift) / known.scale, dtype), dtype)
    return _held(3 * rng.standard_normal(shape), dtype)


def _draw_integers(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, rows: NDArray[Any] | int
) -> NDArray[Any]:
    """Return rows of tables, the last ones in the last sample; any bytes; or 0 and 1."""
    least, most = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype in _INTEGERS else (0, 1)
    lowest, count = (least, most + 1 - least) if dtype in _BYTES else (0, 2)
    looked_up = np.asarray(rows) > 0
    low = np.where(looked_up, 0, lowest)
    high = np.where(looked_up, np.minimum(rows, min(most, _MOST_ROWS) + 1), lowest + count)
    values = rng.integers(low, high, shape)
    values[-1] = high - 1
    return values.astype(dtype)


def _within(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return numbers that a model of half precision can be fed as well."""
    most = _MOST_OF_HALF if dtype == "float16" else _MOST_OF_SINGLE
    clipped: NDArray[Any] = np.clip(values, -most, most)
    return clipped


def _held(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return numbers as the element type holds them, floats of any type in float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        own = values.astype(dtype)
        return own.astype(np.float32) if dtype in FLOATS else own


def load_samples(path: Path, ports: Sequence[Port]) -> Samples:
    """Return the samples in an .npy file, or an .npz file keyed by input name.

    Raises:
        BadSamples: the file cannot be read, is empty, or does not fit the inputs `ports`.
    """
    check_there(path)
    arrays = _read(path)
    if isinstance(arrays, np.ndarray):
        if len(ports) != 1:
            names = ", ".join(repr(port.name) for port in ports)
            raise BadSamples(
                f"{str(path)!r} is one array, but the model has {len(ports)} inputs",
                f"use an .npz with one array for each of {names}",
            )
        arrays = {ports[0].name: arrays}
    samples = {port.name: _fit(arrays, port, path) for port in ports}
    counts = {len(array) for array in samples.values()}
    if len(counts) != 1 or 0 in counts:
        raise BadSamples(f"{str(path)!r} holds {sorted(counts)} samples for the model's inputs")
    return samples


def check_there(path: Path) -> None:
    """Raise BadSamples where there is no such file, or one that reading might never end."""
    # Methods of Path raise where no file can have such a name.
    if not os.path.isfile(path):  # noqa: PTH113
        what = "no regular file" if os.path.exists(path) else "not there"  # noqa: PTH110
        raise BadSamples(f"the file of samples {str(path)!r} is {what}", _FORMATS)


def _read(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            return _arrays(file)
    except OSError as error:
        told = error.strerror or said(error)  # a decompressor's has no more than words
        raise BadSamples(f"cannot read {str(path)!r}: {told}", _FORMATS) from error
    except Exception as error:  # zipfile, decompressors and NumPy's parser raise what they will
        told = said(error)
        raise BadSamples(f"cannot read samples from {str(path)!r}: {told}", _FORMATS) from error


def _arrays(file: BinaryIO) -> NDArray[Any] | dict[str, NDArray[Any]]:
    if not file.read(len(np.lib.format.MAGIC_PREFIX)).startswith(_BEGINNINGS):
        raise ValueError("it is no array of NumPy")  # which would take it for a pickle
    file.seek(0)
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _fit(arrays: dict[str, NDArray[Any]], port: Port, path: Path) -> NDArray[Any]:
    """Return the array for one input, checked, as numbers that its element type holds."""
    array = arrays.get(port.name)
    if array is None:
        raise BadSamples(
            f"{str(path)!r} has no array {port.name!r}; it has {', '.join(sorted(arrays))}"
        )
    if not isinstance(array, np.ndarray):  # NumPy gives other members of an archive as bytes
        raise BadSamples(f"{port.name!r} in {str(path)!r} is no array of NumPy", _FORMATS)
    wanted = port.shape[1:]
    fits = array.ndim == len(port.shape) and all(
        length in (None, own) for length, own in zip(wanted, array.shape[1:], strict=True)
    )
    if not fits:
        raise BadSamples(
            f"samples for {port.name!r} have shape {array.shape}, the model takes"
            f" {('batch', *wanted)}"
        )
    if array.dtype == np.dtype("V2") and port.dtype == "bfloat16":
        array = array.view("bfloat16").astype(np.float32)  # a file has no name for the type
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise BadSamples(f"samples for {port.name!r} hold NaN, infinity, or no numbers")
    held = _held(array, port.dtype)
    if port.dtype not in FLOATS and (held != array).any():
        raise BadSamples(
            f"samples for {port.name!r}, of {array.min():.6g} to {array.max():.6g}, are not all"
            f" whole numbers that {port.dtype} holds",
            f"round and clip them to what the model is fed, and save them as {port.dtype}",
        )
    if not np.isfinite(held).all():
        raise BadSamples(
            f"samples for {port.name!r} are as large as {np.abs(array).max():.3g}, more than"
            f" {port.dtype if port.dtype != 'float64' else 'float32'} holds"
        )
    return held

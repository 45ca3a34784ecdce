"""How far two sets of outputs are apart. Pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.verification.batches import Outputs

TOLERANCE = 1e-9  # of float64 rounding, relative to the largest magnitude
NOT_PROVEN = (
    "nothing was written: foldbn is wrong here, or the model cancels 7 of the 16 digits of float64;"
    " please report it"
)


@dataclass(frozen=True)
class Distance:
    """How far one output is from its reference, over all samples.

    Attributes:
        rms: root mean square of the difference.
        max_abs: largest absolute difference; infinite where one side is not finite.
        max_rel: `max_abs` over the largest magnitude of the reference.
        mean_abs: mean absolute difference.
        worst_index: index of the largest difference, sample first.
        scale_rms: root mean square of the reference.
        scale_max: largest magnitude of the reference.
    """

    rms: float
    max_abs: float
    max_rel: float
    mean_abs: float
    worst_index: tuple[int, ...]
    scale_rms: float
    scale_max: float


def distance(reference: NDArray[Any], other: NDArray[Any]) -> Distance:
    """Return how far `other` is from `reference`.

    NaN and infinity are infinitely far from everything, from themselves too.

    Raises:
        ValueError: the arrays are empty or of different shapes.
    """
    if reference.shape != other.shape or not reference.size:
        raise ValueError(f"cannot compare {reference.shape} with {other.shape}")
    exact = reference.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.asarray(np.abs(exact - other.astype(np.float64)))  # one number stays an array
    gap[~np.isfinite(gap)] = np.inf
    worst = np.unravel_index(int(gap.argmax()), gap.shape)
    scale_max = float(np.abs(exact).max())
    max_abs = float(gap.max())
    return Distance(
        rms=float(np.sqrt(np.mean(np.square(gap)))),
        max_abs=max_abs,
        max_rel=max_abs / scale_max if scale_max else (0.0 if max_abs == 0 else np.inf),
        mean_abs=float(gap.mean()),
        worst_index=tuple(int(i) for i in worst),
        scale_rms=float(np.sqrt(np.mean(np.square(exact)))),
        scale_max=scale_max,
    )


def snr_db(reference: Outputs, other: Outputs) -> float | None:
    """Return the ratio of signal to noise power in dB, None where there is no noise.

    ``10 * log10(sum(reference^2) / sum((reference - other)^2))``
    """
    exact, near = _flat(reference), _flat(other)
    noise = float(np.square(exact - near).sum())
    signal = float(np.square(exact).sum())
    return 10 * float(np.log10(signal / noise)) if noise > 0 and signal > 0 else None


def cosine(reference: Outputs, other: Outputs) -> float:
    """Return the cosine of the angle between all outputs, flattened."""
    exact, near = _flat(reference), _flat(other)
    lengths = float(np.linalg.norm(exact) * np.linalg.norm(near))
    return float(exact @ near) / lengths if lengths else float(np.array_equal(exact, near))


def argmax_agreement(reference: Outputs, other: Outputs) -> float:
    """Return the fraction of samples and outputs whose largest element is the same one."""
    agreed = [
        np.argmax(_rows(reference[name]), axis=1) == np.argmax(_rows(other[name]), axis=1)
        for name in reference
    ]
    return float(np.concatenate(agreed).mean())


def ulp_p99(reference: Outputs, other: Outputs) -> float:
    """Return the 99th percentile of the difference, in units in the last place of float32."""
    exact, near = _flat(reference), _flat(other)
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return float(np.percentile(np.abs(exact - near) / unit, 99))


def _flat(outputs: Outputs) -> NDArray[np.float64]:
    return np.concatenate([outputs[name].ravel().astype(np.float64) for name in sorted(outputs)])


def _rows(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(len(array), -1)

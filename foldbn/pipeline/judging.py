"""What files are held against where the original computes in another precision than float32.

foldbn's own files compute in float32 and are held to what float32 allows. Of an original in
float16 or bfloat16, a file of another tool may

* compute in float32 with the original's weights: it is held to float32 as well,
* compute in float32 with the weights rounded, as the original uses them: to float32, against
  the original with its weights rounded,
* compute in half precision itself: it may be as far off as the original in its own precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from foldbn import verification
from foldbn.frontends.loading import LoadedModel
from foldbn.frontends.single_precision import in_float32, with_rounded_weights
from foldbn.results import ArtifactVerification


def in_single_precision(loaded: LoadedModel) -> verification.Yardstick:
    """Return what files that compute in float32 are measured by: the model in float32.

    Where a float32 model computes a part in float64, the model itself is the finer measure.
    """
    finer = loaded.precision.main == "float32" and loaded.precision.coarsest_unit is None
    return verification.Yardstick(loaded.original if finer else loaded.single)


class Judge:
    """Holds files against one original; what they are held against is computed when needed."""

    def __init__(self, loaded: LoadedModel, sets: Sequence[verification.Samples]) -> None:
        self._loaded, self._sets = loaded, sets

    def verdict(self, content: bytes | Path, name: str) -> ArtifactVerification:
        """Return how far a file is off, and whether rounding explains it.

        Args:
            content: of an .onnx or .tflite file; the path of a SavedModel directory.
            name: of the file, for messages.

        Raises:
            Unreadable: the file is neither ONNX nor TFLite.
            Unsafe: it is a SavedModel that would touch the machine.
            RuntimeFailed: its runtime cannot load or run it, or its ports do not fit the model.
            VerificationFailed: its inputs or outputs have other shapes.
        """
        precision, signature = self._loaded.precision, self._loaded.original.signature
        if precision.coarsest_unit is not None and verification.computes_in_half(content):
            return verification.verify_artifact(self._half, content, name, signature)
        found = verification.verify_artifact(self._single, content, name, signature)
        if found.passed or not precision.mixed:
            return found
        other = verification.verify_artifact(self._rounded, content, name, signature)
        return other if other.passed else found

    @cached_property
    def _single(self) -> list[verification.Reference]:
        loaded = self._loaded
        yardstick = in_single_precision(loaded)
        return verification.make_references(
            loaded.single, self._sets, yardstick=yardstick, own=loaded.original
        )

    @cached_property
    def _rounded(self) -> list[verification.Reference]:
        original = self._loaded.original
        single = in_float32(with_rounded_weights(original))
        return verification.make_references(single, self._sets, own=original)

    @cached_property
    def _half(self) -> list[verification.Reference]:
        loaded, unit = self._loaded, self._loaded.precision.coarsest_unit
        yardstick = verification.Yardstick(loaded.original, unit or 0.0)
        return verification.make_references(
            loaded.single, self._sets, yardstick=yardstick, own=loaded.original
        )

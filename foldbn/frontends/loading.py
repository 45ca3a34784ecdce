"""From a path to a frozen graph that is ready to be read: constants folded, shapes settled."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from foldbn.errors import FoldbnError, Unreadable, UsageError, said
from foldbn.frontends import graph_file, keras_files, safety, saved_model, sniff
from foldbn.frontends.constants import fold_constants
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.gradients import drop_gradients
from foldbn.frontends.graph_file import NO_PORTS, Ports
from foldbn.frontends.negative_zeros import without_bits
from foldbn.frontends.normalizations import part_normalizations
from foldbn.frontends.precisions import Precision, precision_of
from foldbn.frontends.shapes import Shape, find_shapes, settle_reshapes
from foldbn.frontends.single_precision import in_float32
from foldbn.frontends.time_steps import lead_with_batch
from foldbn.frontends.weights import check_weights
from foldbn.results import Source


@dataclass(frozen=True)
class LoadedModel:
    """A model as foldbn works on it.

    Attributes:
        source: where it came from.
        original: the frozen graph as the framework gave it.
        single: the same computing in float32, evaluated in float64: the truth.
        precision: what the original computes in.
        simplified: `single` with constant subgraphs folded and reshapes settled.
        shapes: of every tensor of `simplified`.
    """

    source: Source
    original: FrozenModel
    single: FrozenModel
    precision: Precision
    simplified: FrozenModel
    shapes: dict[str, Shape | None]


def load(
    path: Path,
    signature: str | None = None,
    custom_objects: Path | None = None,
    *,
    unsafe: bool = False,
    ports: Ports = NO_PORTS,
) -> LoadedModel:
    """Load the model at `path`, whatever its format.

    Args:
        path: a Keras file or a SavedModel directory.
        signature: of a SavedModel; None takes ``serving_default``, or the only one.
        custom_objects: a Python file that defines a Keras file's own layers; it is run.
        unsafe: whether Lambda layers may run the code that a Keras file holds.
        ports: the inputs and outputs of a frozen graph.

    Raises:
        Unreadable: there is no model that foldbn knows.
        Unsafe: it would touch the machine.
        Unsupported: it is a model that foldbn cannot load.
        BadWeights: a weight is NaN or infinite.
    """
    _quiet_tensorflow()
    before = _state(path)
    kind = sniff.sniff(path)
    if kind != "frozen-graph" and ports != NO_PORTS:
        raise UsageError(
            f"{str(path)!r} names its inputs and outputs itself",
            "--inputs and --outputs are for a frozen graph; --signature chooses of a SavedModel",
        )
    if kind != "savedmodel" and signature is not None:
        raise UsageError(
            f"{str(path)!r} has no signatures, and none is called {signature!r}",
            "--signature chooses of a SavedModel",
        )
    with _explained(path):
        if kind == "frozen-graph":
            writer, original = None, graph_file.load(path, ports)
        elif kind == "savedmodel":
            proto = safety.read_checked(path)
            writer = saved_model.writer_of(proto)
            original = saved_model.load(path, proto, signature)
        else:
            writer = sniff.writer_of(path, kind)
            original = keras_files.load(path, kind, custom_objects, unsafe=unsafe)
        source = Source(str(path), kind, sniff.sha256_of(path), writer)
    if _state(path) != before:
        raise Unreadable(
            f"{str(path)!r} was changed while it was read", "run foldbn again once it is written"
        )
    return simplify(source, original)


def _quiet_tensorflow() -> None:
    """Let TensorFlow's C++ leave out what is no warning, if nobody has said how much it may tell.

    It looks once, as it is imported; whose program imports it before foldbn does has decided.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")


def _state(path: Path) -> tuple[int, ...]:
    """Return what tells a file from another one, and from itself once it is written anew."""
    try:
        found = path.stat()
    except OSError:
        return ()  # `sniff` says why
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Tell whatever a damaged file makes HDF5, Keras and TensorFlow stumble over as just that.

    There is no end to what a file can hold in places where a loader expects something else.
    """
    try:
        yield
    except FoldbnError:
        raise
    except Exception as error:
        raise Unreadable(
            f"{str(path)!r} cannot be loaded: {type(error).__name__}: {said(error)}",
            "the file may be damaged; if it is not, please report what --debug says",
        ) from error


def simplify(source: Source, original: FrozenModel) -> LoadedModel:
    """Fold what is constant in `original`, in float32, and settle its shapes.

    Raises:
        BadWeights: a weight is NaN or infinite.
        Unsupported: it is not certain what the model computes.
    """
    check_weights(original)
    single, precision = in_float32(original), precision_of(original)
    source = replace(source, precision=precision.name)
    plain = without_bits(drop_gradients(fold_constants(single)))
    folded = part_normalizations(lead_with_batch(plain))
    settled = fold_constants(settle_reshapes(folded, find_shapes(folded)))
    return LoadedModel(source, original, single, precision, settled, find_shapes(settled))

"""Files that genuinely old versions of Keras wrote compute what these computed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

import foldbn
from foldbn.errors import FoldbnError, Unsafe, Unsupported
from foldbn.frontends import keras_files
from foldbn.frontends.frozen import FrozenModel
from tests.conftest import FOREIGN
from tests.frontends.legacy.files import computed

OWN_LAYERS = Path(__file__).with_name("own_layers.py")
# TF 2.4 to 2.10 wrote HDF5 into .keras as well, the same as into .h5: one of each is enough.
FILES = sorted(
    p
    for p in FOREIGN.glob("legacy/*/*")
    if p.suffix == ".h5"
    or (p.suffix == ".keras" and (zipfile.is_zipfile(p) or p.stem in ("c_cnn", "h_lambda")))
)
CODE, CUSTOM, HALF = ("h_lambda", "h_lambda_named"), "l_custom_layer", "l_mixed_precision"
SUBCLASSED = "l_subclassed"
KNOWN = [p for p in FILES if p.stem not in (*CODE, CUSTOM, HALF, SUBCLASSED)]
TOLERANCE = 1e-5


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def load(path: Path, custom_objects: Path | None = None) -> FrozenModel:
    """Load a file; that its format is told from its content is tested with all other files."""
    kind = "keras-zip" if zipfile.is_zipfile(path) else "keras-h5"
    return keras_files.load(path, kind, custom_objects)


def _check(path: Path, custom_objects: Path | None = None, tolerance: float = TOLERANCE) -> None:
    model = load(path, custom_objects)
    stem = path.with_suffix("")
    with np.load(f"{stem}.in.npz") as given, np.load(f"{stem}.out.npz") as wanted:
        found = computed(model, *(given[f"x{i}"] for i in range(len(given.files))))
        assert len(found) == len(wanted.files)
        for i, output in enumerate(found):
            truth = wanted[f"y{i}"]
            assert np.abs(output - truth).max() <= tolerance * np.abs(truth).max()


@pytest.mark.parametrize("path", KNOWN, ids=_name)
def test_an_old_file_computes_what_its_writer_did(path):
    """Inputs and outputs that the writing framework stored are the truth."""
    _check(path)


@pytest.mark.parametrize("path", [p for p in FILES if p.stem == CUSTOM], ids=_name)
def test_a_custom_layer_is_refused_by_name_and_loads_when_given(path):
    """Without the user's file the class is named, with it the outputs are right."""
    with pytest.raises(Unsupported, match="'Scale'") as caught:
        load(path)
    assert caught.value.exit_code == 3
    assert "--custom-objects" in caught.value.hint
    _check(path, OWN_LAYERS)


@pytest.mark.parametrize("path", [p for p in FILES if p.stem in CODE], ids=_name)
def test_stored_code_is_refused(path):
    """A Lambda layer holds bytecode, which nobody runs, or the name of a function left behind."""
    with pytest.raises((Unsafe, Unsupported), match="Lambda") as caught:
        load(path)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("path", [p for p in FILES if p.stem == HALF], ids=_name)
def test_mixed_precision(path):
    """The file gives what its writer got, up to float16, and foldbn says what it computes in."""
    _check(path, tolerance=2e-3)
    assert foldbn.inspect(path).source.precision == "mixed_float16"


REAL = sorted(p for p in FOREIGN.glob("real/*") if p.suffix in (".h5", ".hdf5", ".keras"))
pytestmark = pytest.mark.usefixtures("foreign_models")
UNKNOWN = {
    "mltk_keyword_spotting_alexa.h5": "MultiScaleTemporalConvolution",
    "mmsplice_mtsplice0.h5": "SplineWeight1D",
}


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_a_published_model_loads_or_is_refused_for_its_one_reason(path):
    """Own layers must be given; then every model that holds no code loads."""
    if path.name == "mltk_fingerprint_siamese.h5":
        with pytest.raises(Unsafe, match="'lambda'"):
            load(path)
        return
    if path.name in UNKNOWN:
        with pytest.raises(Unsupported, match=UNKNOWN[path.name]):
            load(path)
    model = load(path, OWN_LAYERS)
    zeros = [np.zeros([2, *(4 if n is None else n for n in x.shape[1:])]) for x in model.inputs]
    assert all(np.isfinite(output).all() for output in computed(model, *zeros))


def test_a_published_siamese_network_loads_with_a_layer_for_its_lambda(foreign_models, tmp_path):
    """A class of the user's named Lambda stands in for the stored code."""
    own = tmp_path / "own.py"
    own.write_text(
        "import keras\n"
        "class Lambda(keras.layers.Layer):\n"
        "    def call(self, pair):\n"
        "        difference = keras.ops.square(pair[0] - pair[1])\n"
        "        return keras.ops.sqrt(keras.ops.sum(difference, axis=1, keepdims=True))\n"
        "    @classmethod\n"
        "    def from_config(cls, config):\n"
        "        return cls(name=config['name'])\n"
    )
    path = foreign_models / "real" / "mltk_fingerprint_siamese.h5"
    model = load(path, own)
    assert [port.name for port in model.inputs] == ["input_1", "input_2"]


def test_the_truth_is_not_trivial(foreign_models):
    """The suite would pass on files whose outputs are all the same: these are not."""
    path = foreign_models / "legacy" / "tf24" / "c_cnn.h5"
    with np.load(f"{path.with_suffix('')}.out.npz") as wanted:
        assert np.ptp(wanted["y0"]) > 1e-3


@pytest.mark.parametrize("path", [p for p in FILES if p.stem == SUBCLASSED], ids=_name)
def test_errors_are_foldbns_own(path):
    """A model of the user's own class ends in no exception of Keras or Python."""
    with pytest.raises(FoldbnError) as caught:
        load(path)
    assert caught.value.exit_code == 3

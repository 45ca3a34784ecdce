"""Where the models are, and copies of them whose normalization is drawn at random.

Frameworks are imported inside fixtures only, so that tests of the engine start without them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
FOREIGN = Path(os.environ.get("FOLDBN_TEST_MODELS", ROOT / ".." / "shared" / "models"))


@pytest.fixture(scope="session")
def networks() -> Path:
    """Return the folder of the trained networks that come with the project."""
    return FIXTURES


@pytest.fixture(scope="session")
def foreign_models() -> Path:
    """Return the folder of models that other frameworks wrote; skip where there is none."""
    if not FOREIGN.is_dir():
        pytest.skip(f"no foreign models in {FOREIGN}: FOLDBN_TEST_MODELS names their folder")
    return FOREIGN


@pytest.fixture(scope="session")
def samples() -> dict[str, np.ndarray]:
    """Return the images [64, 24, 24] and every network's outputs on them, by its name."""
    with np.load(FIXTURES / "samples.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def randomised(tmp_path_factory) -> Path:
    """Return a folder with a copy of every network whose normalization is random.

    Trained scales are all positive; these are negative and zero as well. One network is there
    as .keras and as SavedModel too.
    """
    import keras

    from tests.journeys import randomise

    folder = tmp_path_factory.mktemp("randomised")
    for seed, path in enumerate(sorted(FIXTURES.glob("*.h5"))):
        model = keras.saving.load_model(path, compile=False)
        randomise(model, seed)
        model.save(folder / path.name)
        if path.stem == "mlp_bn_after":
            model.save(folder / f"{path.stem}.keras")
            model.export(folder / f"{path.stem}_savedmodel", verbose=False)
    return folder

"""Damaged models: another one for each seed, the same one for the same seed."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from pathlib import Path

import fuzz_changes
import fuzz_damage
import h5py
import pytest

CONTENT = bytes(range(256)) * 64


def _rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - not for secrets


@pytest.mark.parametrize("change", fuzz_changes.BYTES, ids=lambda change: change.__name__)
def test_bytes(change):
    """Each way to damage bytes does so on most seeds, and in the same way each time."""
    results = [change(CONTENT, _rng(seed)) for seed in range(20)]
    assert results == [change(CONTENT, _rng(seed)) for seed in range(20)]
    assert sum(result != CONTENT for result in results) >= 15
    assert len(set(results)) >= 10


def damaged(source: Path, folder: Path, seed: int) -> Path:
    """Return a damaged copy of a Keras file."""
    path = Path(shutil.copy(source, folder / f"{seed}{source.suffix}"))
    fuzz_damage.SPECIFIC[source.suffix[1:]](path, _rng(seed))
    return path


@pytest.mark.parametrize("name", ["bn_axis_1.h5", "transfer.keras"])
def test_structure(networks, tmp_path, name):
    """What is damaged inside is still a file of its kind, and not the same as before."""
    original = (networks / name).read_bytes()
    changed = 0
    for seed in range(12):
        path = damaged(networks / name, tmp_path, seed)
        changed += path.read_bytes() != original
        assert path.read_bytes() == damaged(networks / name, tmp_path, seed).read_bytes()
        if name.endswith("h5"):
            with h5py.File(path) as file:
                assert "model_config" in file.attrs
        else:
            assert zipfile.ZipFile(path).testzip() is None
    assert changed == 12


def test_json():
    """An edited document is another one that can be written."""
    document = {"config": {"layers": [{"class_name": "Dense", "units": 3}, {"class_name": "ReLU"}]}}
    texts = {
        json.dumps(fuzz_changes.edit_json(json.loads(json.dumps(document)), _rng(seed)))
        for seed in range(30)
    }
    assert len(texts) >= 20

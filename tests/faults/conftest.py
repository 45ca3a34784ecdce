"""A model with older artefacts beside it."""

from __future__ import annotations

import pytest

from tests.faults.places import Place


@pytest.fixture
def place(networks, tmp_path) -> Place:
    """Return a model with older artefacts beside it."""
    return Place(tmp_path, networks / "bn_axis_1.h5")

"""Models that were folded, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import journeys
from tests.journeys import Journey
from tests.verification.faults import two_outputs


@pytest.fixture(scope="session")
def path(tmp_path_factory) -> Path:
    """Return the file of the model with two outputs."""
    path = tmp_path_factory.mktemp("proof") / "model.keras"
    two_outputs().save(path)
    return path


@pytest.fixture(scope="session")
def journey(path) -> Journey:
    """Return the model with two outputs, folded."""
    return journeys.of_file(path)


@pytest.fixture(scope="session", params=["mlp_bn_after.h5", "cnn_bn_before.h5"])
def network(request, networks) -> tuple[Path, Journey]:
    """Return a trained network, folded, and its file."""
    return networks / request.param, journeys.of_file(networks / request.param)

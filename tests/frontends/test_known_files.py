"""Files that are known to be sound: told by their content, and not refused for what they say."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from foldbn.errors import FoldbnError, Unsafe, Unsupported
from foldbn.frontends import configs
from foldbn.frontends.budget import check_budget
from foldbn.frontends.configs import check_config
from foldbn.frontends.demand import demand
from foldbn.frontends.sniff import sniff


def known(folder: Path) -> list[Path]:
    """Return every Keras file below a folder."""
    suffixes = ("h5", "hdf5", "keras")
    return [path for suffix in suffixes for path in sorted(folder.rglob(f"*.{suffix}"))]


def configuration_of(path: Path) -> Any:
    """Return a file's configuration, and assert that it asks for no more than its file stores."""
    kind = sniff(path)
    assert kind == ("keras-zip" if zipfile.is_zipfile(path) else "keras-h5"), path
    config = configs.read_config(path, kind)
    room = check_budget(config, path, kind)
    assert demand(config).weights <= room - 2**22, path
    return config


def test_networks_of_this_project(networks):
    """No trained network is taken for a bomb."""
    found = known(networks)
    assert len(found) > 10
    for path in found:
        configuration_of(path)


def test_files_of_every_framework(foreign_models):
    """No file of Keras 1 to 3 is taken for a bomb, or refused but for its Lambda layers."""
    found = known(foreign_models)
    assert len(found) > 100
    reasons = set()
    for path in found:
        config = configuration_of(path)
        if (foreign_models / "legacy") not in path.parents:
            continue
        try:
            check_config(config, path.stem)
        except FoldbnError as error:
            reasons.add((path.stem, type(error)))
    assert reasons == {
        ("h_lambda", Unsafe),
        ("h_lambda_named", Unsafe),
        ("h_lambda_named", Unsupported),
    }

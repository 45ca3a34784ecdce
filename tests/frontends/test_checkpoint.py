"""Variables are read from the checkpoint; what is missing, short or damaged says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foldbn.errors import FoldbnError, Unreadable
from foldbn.frontends import loading
from foldbn.frontends.checkpoint import _slice
from tests.frontends.old_graphs import GRAPHS, save

DATA = "variables/variables.data-00000-of-00001"
INDEX = "variables/variables.index"


@pytest.fixture
def path(tmp_path) -> Path:
    """Return a SavedModel that a test may spoil."""
    return save(GRAPHS["dense"], tmp_path / "m").path


def _gone(path: Path) -> None:
    for name in (DATA, INDEX):
        (path / name).unlink()
    (path / "variables").rmdir()


def _cut(path: Path) -> None:
    (path / DATA).write_bytes((path / DATA).read_bytes()[:-8])


def _empty(path: Path) -> None:
    (path / DATA).write_bytes(b"")


def _flipped(path: Path) -> None:
    content = bytearray((path / DATA).read_bytes())
    content[len(content) // 2] ^= 255
    (path / DATA).write_bytes(content)


def _no_index(path: Path) -> None:
    (path / INDEX).unlink()


def _cut_index(path: Path) -> None:
    (path / INDEX).write_bytes((path / INDEX).read_bytes()[:40])


def _noise(path: Path) -> None:
    (path / INDEX).write_bytes(bytes(range(256)))


def _one_of_two(path: Path) -> None:
    (path / DATA).rename(path / "variables/variables.data-00000-of-00002")


SPOILED = {
    "no folder": (_gone, "has no folder variables: its weights are missing"),
    "no index": (_no_index, "has no variables/variables.index"),
    "no data": (lambda path: (path / DATA).unlink(), "has 0 of 1 files"),
    "one file of two": (_one_of_two, "has 1 of 2 files"),
    "short": (_cut, "have 264 bytes, their files 256"),
    "empty": (_empty, "bytes, their files 0"),
    "flipped": (_flipped, "the variables in .* are damaged"),
    "short index": (_cut_index, "are damaged"),
    "noise": (_noise, "are damaged"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED)
def test_spoiled(path, spoil, words):
    """The true reason is told, with exit code 3 and a hint."""
    spoil(path)
    with pytest.raises(Unreadable, match=words) as caught:
        loading.load(path)
    assert caught.value.exit_code == 3
    assert "interrupted?" in caught.value.hint


def test_entry_that_is_not_there(path):
    """A checkpoint of another model is told by the variable that it lacks."""
    other = save(GRAPHS["pieces"], path.parent / "other").path
    for name in (DATA, INDEX):
        (path / name).write_bytes((other / name).read_bytes())
    with pytest.raises(
        FoldbnError, match=r"no entry 'bn/|no entry 'dense/|no entry 'fc/"
    ) as caught:
        loading.load(path)
    assert caught.value.exit_code == 3


def test_slices():
    """A slice is a start and a length for each axis, or the whole axis."""
    value = np.arange(24).reshape(4, 6)
    assert _slice(value, "").shape == (4, 6)
    np.testing.assert_array_equal(_slice(value, "4 6 1,2:-"), value[1:3])
    np.testing.assert_array_equal(_slice(value, "4 6 0,1:3,2"), value[:1, 3:5])

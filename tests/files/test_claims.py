"""Folders of the living stay, those of the dead go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foldbn import files

HOLD = """
import sys
from pathlib import Path
from foldbn import files
print(files.claim(Path(sys.argv[1]), "some-").folder, flush=True)
sys.stdin.read()
"""


def test_a_living_owner_keeps_its_folder(tmp_path):
    """A folder is there as long as the process that claimed it, even if that is killed."""
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        folder = Path(process.stdout.readline().decode().strip())
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_bytes(b"x")
        (folder / "sub").chmod(0o500)
        files.sweep(tmp_path, "some-")
        assert (folder / "sub" / "file").exists()
        process.kill()
        process.wait()
        assert folder.exists()
        files.sweep(tmp_path, "some-")
    assert list(tmp_path.iterdir()) == []


def test_release(tmp_path):
    """A folder goes with all that is in it, or is kept for the next one to settle."""
    claimed = files.claim(tmp_path, "some-")
    (claimed.folder / "file").write_bytes(b"x")
    kept = files.claim(tmp_path, "some-")
    files.release(claimed)
    files.release(kept, keep=True)
    assert list(tmp_path.iterdir()) == [kept.folder]


def test_settle(tmp_path):
    """A folder that cannot be settled stays, and so does one whose settling fails."""
    first, second, third = (files.claim(tmp_path, "some-") for _ in range(3))
    for claimed in (first, second, third):
        files.release(claimed, keep=True)

    def settle(folder: Path) -> bool:
        if folder == second.folder:
            raise OSError(5, "Input/output error")
        return folder == third.folder

    files.sweep(tmp_path, "some-", settle)
    assert set(tmp_path.iterdir()) == {first.folder, second.folder}


def _file(path: Path) -> None:
    path.write_bytes(b"")


def _link(path: Path) -> None:
    target = path.parent / "target"
    target.mkdir()
    (target / "owner").touch()
    path.symlink_to(target)


def _users_own(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (_file, "some-abcdefgh"),
        (_link, "some-abcdefgh"),
        (_users_own, "some-abcdefgh"),
        (_users_own, "some-results"),
        (Path.mkdir, "some-abcdefgh-mine"),
    ],
)
def test_what_nobody_claimed_is_left_alone(tmp_path, make, name):
    """Only folders that look exactly like a claimed one are removed."""
    make(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    files.sweep(tmp_path, "some-")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_owner_that_died_at_once(tmp_path):
    """An empty folder, whose owner died before it could say so, is removed."""
    (tmp_path / "some-abcdefgh").mkdir()
    files.sweep(tmp_path, "some-")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_is_taken_away(tmp_path, monkeypatch):
    """Who loses the folder between making and marking it makes another."""
    made = files.claims.tempfile.mkdtemp
    lost = []

    def lose_the_first(**options: object) -> str:
        path = made(**options)
        if not lost:
            lost.append(path)
            files.sweep(tmp_path, "some-")
        return path

    monkeypatch.setattr(files.claims.tempfile, "mkdtemp", lose_the_first)
    claimed = files.claim(tmp_path, "some-")
    assert list(tmp_path.iterdir()) == [claimed.folder]
    assert str(claimed.folder) != lost[0]


def test_no_folder_to_sweep(tmp_path):
    """Sweeping where nothing is does nothing."""
    files.sweep(tmp_path / "missing", "some-")

"""Archives that unpack to far more than they hold, or again and again, are refused or cheap."""

from __future__ import annotations

import copy
import errno
import io
import os
import shutil
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from foldbn.errors import Unreadable, Unsafe, WriteFailed
from foldbn.frontends import loading
from foldbn.frontends.budget import check_budget
from foldbn.frontends.sniff import sniff

CHUNK = bytes(2**25)


@pytest.fixture
def model(networks, tmp_path) -> Path:
    """Return a copy of a .keras model that a test may spoil."""
    return Path(shutil.copy(networks / "mlp_bn_after.keras", tmp_path / "model.keras"))


def repacked(path: Path, weights: bytes, how: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack a model anew with other weights."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, weights if name == "model.weights.h5" else content)
    return path


def hdf5(count: int, size: int) -> bytes:
    """Return an HDF5 file of `count` datasets of `size` zeros, under names that are unordered."""
    file = io.BytesIO()
    names = np.random.default_rng(0).permutation(count)
    with h5py.File(file, "w") as target:
        for name in names:
            target.create_dataset(f"{name:016x}", data=np.zeros(size, np.int8))
    return file.getvalue()


def test_members_that_are_large_together(model):
    """What each member may declare in any case, they may declare once for all of them."""
    with zipfile.ZipFile(model, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/0", CHUNK)
    assert sniff(model) == "keras-zip"
    with zipfile.ZipFile(model, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(1, 4):
            archive.writestr(f"assets/{number}", CHUNK)
    with pytest.raises(Unsafe, match=r"declares 134,\d+,\d+ bytes") as caught:
        sniff(model)
    assert caught.value.exit_code == 3


def test_a_bomb_beside_what_is_stored(model):
    """Stored bytes of one member do not allow another one to be a bomb."""
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("assets/noise", np.random.default_rng(0).bytes(2**20))
        for number in range(3):
            archive.writestr(f"assets/{number}", CHUNK, zipfile.ZIP_DEFLATED)
    with pytest.raises(Unsafe, match="declares"):
        sniff(model)


def test_members_at_one_place(model):
    """Members that share their bytes hold more together than the file does."""
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("assets/0", np.random.default_rng(0).bytes(2**20))
        for number in range(1, 9):
            twin = copy.copy(archive.getinfo("assets/0"))
            twin.filename = f"assets/{number}"
            archive.filelist.append(twin)
    with pytest.raises(Unsafe, match="share"):
        sniff(model)


@pytest.mark.parametrize(
    ("names", "file"),
    [
        (["model.weights.h5/evil"], "model.weights.h5"),
        (["assets/a/b", "assets/a"], "assets/a"),
        (["assets/a", "assets/a/b/c"], "assets/a"),
    ],
)
def test_members_below_a_file(model, names, file):
    """No folder can have the name of a file beside it; an archive with such members is odd."""
    with zipfile.ZipFile(model, "a") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(Unsafe, match=f"has members below '{file}'") as caught:
        sniff(model)
    assert caught.value.exit_code == 3


def test_folders_are_members(model):
    """Some tools write a member for each folder."""
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("assets/", b"")
        archive.writestr("assets/a/", b"")
        archive.writestr("assets/a/b", b"x")
    assert sniff(model) == "keras-zip"


def test_too_many_members(model):
    """Each member is a file to unpack, even an empty one."""
    with zipfile.ZipFile(model, "a") as archive:
        for number in range(10_001):
            archive.writestr(f"assets/{number}", b"")
    with pytest.raises(Unsafe, match=r"10,00\d members"):
        sniff(model)


def test_members_of_the_users_own(model):
    """Layers may keep whatever they like among the assets."""
    with zipfile.ZipFile(model, "a") as archive:
        for number in range(50):
            archive.writestr(f"assets/layer_{number}/state", np.random.default_rng(0).bytes(1000))
    assert sniff(model) == "keras-zip"


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_weights_are_unpacked_once(model, how):
    """Many datasets in a packed file do not unpack it once for each.

    Unpacked anew for each, the 32 MiB take some ten seconds.
    """
    repacked(model, hdf5(300, 2**25 // 300 - 1024), how)
    start = time.process_time()
    assert sniff(model) == "keras-zip"
    check_budget({"class_name": "Sequential", "config": {}}, model, "keras-zip")
    assert time.process_time() - start < 2


def test_no_room_to_unpack(model, monkeypatch):
    """A full disk is told as such, not as a damaged file."""
    monkeypatch.setattr("tempfile.tempdir", "/dev/full/nowhere")
    with pytest.raises(WriteFailed, match="temporary copy") as caught:
        sniff(model)
    assert "TMPDIR" in caught.value.hint


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_while_unpacking(model, monkeypatch, code):
    """What a disk that is full says while a member is written is no damage of the file."""

    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("foldbn.frontends.unpacking.shutil.copyfileobj", full)
    with pytest.raises(WriteFailed, match=os.strerror(code)):
        sniff(model)


def test_damage_is_no_full_disk(model):
    """A packer that cannot read a member says so with an OSError too, bzip2 for one."""
    with zipfile.ZipFile(model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(model, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        place = archive.getinfo("model.weights.h5")
    content = bytearray(model.read_bytes())
    start = place.header_offset + 30 + len(place.filename)
    content[start + 20 : start + 60] = bytes(40)
    model.write_bytes(content)
    with pytest.raises(Unreadable, match=r"cannot unpack .*: Invalid data stream") as caught:
        sniff(model)
    assert "TMPDIR" not in caught.value.hint


def test_a_name_that_no_file_may_have(model):
    """A member of an impossible name is told as what it is, and no other folder would help."""
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("assets/" + "a" * 300, b"x")
    with pytest.raises(Unreadable, match=r"cannot unpack .*: File name too long") as caught:
        loading.load(model)
    assert caught.value.exit_code == 3
    assert "TMPDIR" not in caught.value.hint

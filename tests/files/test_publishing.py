"""Several files get their names or none does, at whatever step the process is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foldbn import files
from foldbn.files import publishing

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("m.onnx", "m.savedmodel", "m.tflite")


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` that is not hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def write(folder: Path, names: tuple[str, ...], content: bytes) -> None:
    """Write files, and for a SavedModel a folder with one file."""
    for name in names:
        path = folder / name
        if name.endswith(".savedmodel"):
            path.mkdir()
            path = path / "saved_model.pb"
        path.write_bytes(content)


def publish_until(folder: Path, step: int, *options: str) -> int:
    """Publish all of NAMES, killed at a step; return the exit code."""
    command = [sys.executable, "-m", "tests.files.publish_until", folder, step, *NAMES, *options]
    return subprocess.run([str(word) for word in command], cwd=ROOT, check=False).returncode


CASES = {
    "nothing was there": ((), True),
    "one was there": (NAMES[:1], True),
    "all were there": (NAMES, True),
    "all were there, and folders cannot be exchanged": (NAMES, False),
}


@pytest.mark.parametrize(("there", "exchange"), CASES.values(), ids=CASES)
def test_killed_at_every_step(tmp_path, there, exchange):
    """At each step a name has its old or its new content; afterwards all have the same of both."""
    options = () if exchange else ("--without-exchange",)
    results = set()
    for step in range(1, 100):
        folder = tmp_path / str(step)
        folder.mkdir()
        write(folder, there, b"old")
        old = contents(folder)
        code = publish_until(folder, step, *options)
        between = contents(folder)
        assert set(between.values()) <= {b"old", b"new"}
        if exchange:
            assert set(old) <= set(between), "a name was missing for a moment"
        files.sweep(folder, files.HIDDEN, files.roll_back)
        after = contents(folder)
        assert after == old or (len(after) == 3 and set(after.values()) == {b"new"})
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
        results.add((code, after == old))
        if code == 0:
            break
    assert code == 0
    assert results == {(-9, True), (-9, False), (0, False)}


@pytest.fixture
def staged(tmp_path) -> tuple[Path, dict[Path, Path]]:
    """Return a hidden folder with three new files, and where they go: old ones are there."""
    write(tmp_path, NAMES, b"old")
    folder = files.claim(tmp_path, files.HIDDEN).folder
    write(folder, NAMES, b"new")
    return folder, {folder / name: tmp_path / name for name in NAMES}


def test_a_name_that_cannot_be_taken(staged, tmp_path):
    """An error at the last file gives the first ones their old content back."""
    folder, targets = staged
    (tmp_path / "m.tflite").unlink()
    (tmp_path / "m.tflite").mkdir()
    before = contents(tmp_path)
    with pytest.raises(OSError, match="not permitted"):
        files.publish(folder, targets)
    assert contents(tmp_path) == before
    assert not files.is_published(folder)


def test_what_others_wrote_meanwhile_is_left_alone(staged, tmp_path):
    """Rolling back touches no file that somebody has put in the place of a new one."""
    folder, targets = staged
    files.publish(folder, targets)
    assert files.is_published(folder)
    (folder / "published").rename(folder / "publishing")
    (tmp_path / "m.onnx").unlink()
    (tmp_path / "m.onnx").write_bytes(b"somebody's")
    files.roll_back(folder)
    found = contents(tmp_path)
    assert found["m.onnx"] == b"somebody's"
    assert found["m.tflite"] == found["m.savedmodel/saved_model.pb"] == b"old"


@pytest.mark.parametrize("name", ["../victim", "..", "/victim", "sub/victim", ""])
def test_a_foreign_plan_leads_nowhere(tmp_path, name):
    """A hidden folder that came with somebody's archive cannot have files outside renamed."""
    inner = tmp_path / "inner"
    folder = inner / ".foldbn-abcdefgh"
    (folder / "aside").mkdir(parents=True)
    (folder / "owner").touch()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    found = victim.lstat()
    plan = {name: [found.st_ino, found.st_mtime_ns]}
    (folder / "publishing").write_text(json.dumps(plan))
    files.sweep(inner, files.HIDDEN, files.roll_back)
    assert victim.read_bytes() == b"precious"
    assert list(inner.iterdir()) == []


@pytest.mark.parametrize("plan", ["", "[]", "{", "null", '{"a": 1}'])
def test_a_plan_that_is_none(tmp_path, plan):
    """A damaged plan is no reason to fail."""
    (tmp_path / "publishing").write_text(plan)
    assert files.roll_back(tmp_path)


def test_without_second_names(staged, tmp_path, monkeypatch):
    """Where a file cannot have two names, the old one is moved out of the way and comes back."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(publishing.os, "link", refuse)
    folder, targets = staged
    files.publish(folder, targets)
    assert set(contents(tmp_path).values()) == {b"new"}
    (folder / "published").rename(folder / "publishing")
    files.roll_back(folder)
    assert set(contents(tmp_path).values()) == {b"old"}


def test_a_link_in_the_place_of_a_file(staged, tmp_path):
    """A link is replaced and comes back as the link it was; what it leads to is not touched."""
    folder, targets = staged
    (tmp_path / "m.onnx").rename(tmp_path / "elsewhere")
    (tmp_path / "m.onnx").symlink_to("elsewhere")
    files.publish(folder, targets)
    assert (tmp_path / "m.onnx").read_bytes() == b"new"
    assert (tmp_path / "elsewhere").read_bytes() == b"old"
    (folder / "published").rename(folder / "publishing")
    files.roll_back(folder)
    assert (tmp_path / "m.onnx").readlink() == Path("elsewhere")


@pytest.mark.parametrize("step_at_once", [True, False])
def test_a_name_that_somebody_took_meanwhile(staged, tmp_path, monkeypatch, step_at_once):
    """Where nothing may be replaced, a name that is taken stops all, and stays whose it is."""
    if not step_at_once:
        monkeypatch.setattr(publishing, "_rename", lambda *_: False)
    folder, targets = staged
    for name in NAMES[:2]:
        (tmp_path / name).rename(tmp_path / f"{name}.gone")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError) as caught:
        files.publish(folder, targets, replace=False)
    assert caught.value.filename == str(tmp_path / "m.tflite")
    assert contents(tmp_path) == before


def test_names_that_are_free(staged, tmp_path):
    """Where nothing may be replaced and nothing is there, all get their names."""
    folder, targets = staged
    for name in NAMES:
        (tmp_path / name).rename(tmp_path / f"{name}.gone")
    files.publish(folder, targets, replace=False)
    found = contents(tmp_path)
    assert [found[name] for name in ("m.onnx", "m.savedmodel/saved_model.pb", "m.tflite")] == [
        b"new"
    ] * 3
    (folder / "published").rename(folder / "publishing")
    files.roll_back(folder)
    assert not any((tmp_path / name).exists() for name in NAMES)

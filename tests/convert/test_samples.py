"""The user's own samples, good and bad."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn import verification
from foldbn.errors import BadSamples
from foldbn.frontends import loading
from foldbn.frontends.frozen import Port
from tests.convert.untimed import convert, names


def test_samples(two_ports, tmp_path):
    """The user's samples are compared besides the generated ones."""
    rng = np.random.default_rng(3)
    path = tmp_path / "samples.npz"
    np.savez(path, left=rng.normal(size=(7, 3)), right=rng.normal(size=(7, 4)))
    result = convert(two_ports, tmp_path / "out", to=("onnx",), samples=path)
    assert result.artifacts[0].verification.samples == 64 + 7
    verified = foldbn.verify(two_ports, [result.artifacts[0].path], samples=path)
    assert verified.passed
    assert verified.artifacts[0].verification.samples == 64 + 7


@pytest.fixture(scope="module")
def ports(two_ports):
    """Return the inputs ``left`` [3] and ``right`` [4]."""
    return loading.load(two_ports).original.inputs


LEFT, RIGHT = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
BAD_ARRAYS = {
    "a wrong shape": ({"left": LEFT, "right": LEFT}, r"'right' have shape \(2, 3\)"),
    "a wrong rank": ({"left": LEFT[0], "right": RIGHT}, r"'left' have shape \(3,\)"),
    "a missing array": ({"left": LEFT}, "has no array 'right'; it has left"),
    "unequal counts": ({"left": LEFT, "right": RIGHT[:1]}, r"holds \[1, 2\] samples"),
    "no samples": ({"left": LEFT[:0], "right": RIGHT[:0]}, r"holds \[0\] samples"),
    "NaN": ({"left": LEFT * np.nan, "right": RIGHT}, "'left' hold NaN"),
    "infinity": ({"left": LEFT, "right": RIGHT * np.inf}, "'right' hold NaN, infinity"),
    "text": ({"left": np.full((2, 3), "a"), "right": RIGHT}, "no numbers"),
    "complex numbers": ({"left": LEFT * 1j, "right": RIGHT}, "no numbers"),
    "objects": ({"left": LEFT.astype(object), "right": RIGHT}, "cannot read samples"),
}


@pytest.mark.parametrize(("arrays", "words"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_samples_that_do_not_fit(tmp_path, ports, arrays, words):
    """Samples that do not fit the inputs are refused, saying which and how."""
    path = tmp_path / "samples.npz"
    np.savez(path, **arrays)
    with pytest.raises(BadSamples, match=words) as caught:
        verification.load_samples(path, ports)
    assert caught.value.exit_code == 3


def _is_no_file(_path: Path) -> None:
    pass


def _is_empty(path: Path) -> None:
    path.write_bytes(b"")


def _is_text(path: Path) -> None:
    path.write_text("1, 2, 3")


def _is_truncated(path: Path) -> None:
    np.save(path, LEFT)
    path.write_bytes(path.read_bytes()[:-4])


def _is_truncated_zip(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, left=LEFT, right=RIGHT)
    path.write_bytes(path.read_bytes()[:-30])


def _is_an_archive_of_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("left.npy", "1, 2, 3")
        archive.writestr("right", "1, 2, 3")


def _is_damaged(method: int, path: Path) -> None:
    """Write an archive packed in one way, and change the first member in its middle."""
    array = io.BytesIO()
    np.save(array, np.random.default_rng(0).random((2000, 3)))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("left.npy", array.getvalue())
        middle = archive.getinfo("left.npy").compress_size // 2
    content = bytearray(path.read_bytes())
    content[middle : middle + 64] = b"\xff" * 64
    path.write_bytes(content)


def _is_damaged_deflate(path: Path) -> None:
    _is_damaged(zipfile.ZIP_DEFLATED, path)


def _is_damaged_lzma(path: Path) -> None:
    _is_damaged(zipfile.ZIP_LZMA, path)


def _is_damaged_bzip2(path: Path) -> None:
    _is_damaged(zipfile.ZIP_BZIP2, path)


def _alter_member(path: Path, field: int, value: int) -> None:
    """Change a field of the first member, both where it lies and in the archive's directory."""
    with path.open("wb") as file:
        np.savez_compressed(file, left=LEFT, right=RIGHT)
    content = bytearray(path.read_bytes())
    for place in (field, content.index(b"PK\x01\x02") + field + 2):
        content[place] = value
    path.write_bytes(content)


def _is_encrypted(path: Path) -> None:
    _alter_member(path, 6, 1)


def _is_packed_in_an_unknown_way(path: Path) -> None:
    _alter_member(path, 8, 99)


def _has_a_header_without_an_end(path: Path) -> None:
    np.save(path, LEFT)
    path.write_bytes(path.read_bytes().replace(b"}", b"{"))


def _has_a_header_of_nonsense(path: Path) -> None:
    np.save(path, LEFT)
    path.write_bytes(re.sub(rb"'<f\d'", b"','  ", path.read_bytes()))


def _write_header(path: Path, text: str) -> None:
    content = text.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content)


def _has_a_header_that_is_no_dictionary_to_python(path: Path) -> None:
    _write_header(path, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), []: 1}")


def _has_a_type_of_nothing(path: Path) -> None:
    _write_header(path, "{'descr': (), 'fortran_order': False, 'shape': (2, 3)}")


def _has_a_length_beyond_64_bits(path: Path) -> None:
    _write_header(path, f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**70}, 3)}}")


def _has_a_length_beyond_all_memory(path: Path) -> None:
    _write_header(path, f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**14}, 3)}}")


def _begins_like_an_archive(path: Path) -> None:
    path.write_bytes(b"PK is no archive")


def _is_a_folder(path: Path) -> None:
    path.mkdir()


def _is_one_array(path: Path) -> None:
    np.save(path, LEFT)


class _Malicious:
    """Pickled code that would leave a file behind when it is run."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def _is_a_pickle(path: Path) -> None:
    import pickle

    path.write_bytes(pickle.dumps(_Malicious(path.with_name("mark"))))


def _is_an_array_of_pickles(path: Path) -> None:
    np.save(path, np.array([_Malicious(path.with_name("mark"))], object), allow_pickle=True)


BAD_FILES = [
    _is_no_file,
    _is_empty,
    _is_text,
    _is_truncated,
    _is_truncated_zip,
    _is_an_archive_of_text,
    _is_damaged_deflate,
    _is_encrypted,
    _is_packed_in_an_unknown_way,
    _is_damaged_lzma,
    _is_damaged_bzip2,
    _has_a_header_without_an_end,
    _has_a_header_of_nonsense,
    _has_a_header_that_is_no_dictionary_to_python,
    _has_a_type_of_nothing,
    _has_a_length_beyond_64_bits,
    _has_a_length_beyond_all_memory,
    _begins_like_an_archive,
    _is_a_folder,
    _is_one_array,
    _is_a_pickle,
    _is_an_array_of_pickles,
]


@pytest.mark.parametrize("write", BAD_FILES, ids=lambda write: write.__name__.strip("_"))
def test_samples_that_cannot_be_read(tmp_path, ports, write):
    """A file without samples is refused, and nothing that is pickled in it is run."""
    path = tmp_path / "samples.npy"
    write(path)
    with pytest.raises(BadSamples, match=r"samples\.npy") as caught:
        verification.load_samples(path, ports)
    assert "unsafely" not in caught.value.message
    assert not caught.value.message.endswith("None")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 300), ("uint8", -1.0), ("int32", 0.5), ("int32", 1e12), ("bool", 2)],
)
def test_numbers_that_an_input_does_not_hold(tmp_path, dtype, value):
    """They are refused, not wrapped or cut; those that it holds may come in any type."""
    path, port = tmp_path / "samples.npy", Port("x", "x", (None, 2), dtype)
    np.save(path, np.array([[1.0, 0.0]]))
    loaded = verification.load_samples(path, [port])["x"]
    assert loaded.dtype == dtype
    assert loaded.tolist() == [[1, 0]]
    np.save(path, np.array([[1, value]]))
    with pytest.raises(BadSamples, match=f"'x', of .* whole numbers that {dtype} holds"):
        verification.load_samples(path, [port])


def test_bad_samples_stop_a_conversion(two_ports, tmp_path):
    """Nothing is written when the samples are bad."""
    path = tmp_path / "samples.npy"
    np.save(path, LEFT)
    with pytest.raises(BadSamples, match=r"the model has 2 inputs"):
        convert(two_ports, tmp_path / "out", samples=path)
    assert names(tmp_path) == {"samples.npy"}


def test_missing_samples_are_told_at_once(two_ports, tmp_path):
    """A file of samples that is not there is told before anything is loaded, in one sentence."""
    path, phases = tmp_path / "none.npy", []

    def note(event: str, detail: str) -> None:
        phases.append((event, detail))

    for call in (
        lambda: convert(two_ports, tmp_path / "o", samples=path, notify=note),
        lambda: foldbn.verify(two_ports, [two_ports], samples=path, notify=note),
    ):
        with pytest.raises(BadSamples) as caught:
            call()
        assert caught.value.message == f"the file of samples {str(path)!r} is not there"
        assert caught.value.exit_code == 3
    assert phases == []

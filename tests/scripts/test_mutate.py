"""The faults that the mutation script plants."""

from mutate import read_faults

from tests.conftest import ROOT


def test_every_fault_has_its_place():
    """A fault whose text is gone from its file would be planted nowhere."""
    faults = read_faults((ROOT / "scripts" / "faults.txt").read_text("utf-8"))
    assert len(faults) > 50
    for fault in faults:
        assert fault.old in (ROOT / "foldbn" / fault.file).read_text("utf-8"), fault.name

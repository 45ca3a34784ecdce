"""Read an HDF5 file in a process of its own first.

The HDF5 library is one of C: damaged files can crash it, or keep it busy for ever, and it
takes the process that reads with it. What gives way here is a child that nobody misses.
"""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from foldbn.errors import Unreadable

_SECONDS = 10  # of a processor's time; the largest networks take less than 1
_OBJECTS = 20_000  # that are looked at
_BYTES = 2**31
_HINT = "was the download or copy interrupted?"
# h5py brings NumPy along, whose thread pools cost as much as all the rest of the child.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def try_hdf5(descriptor: int, name: str) -> None:
    """Refuse an HDF5 file whose structure and attributes cannot be read to an end.

    An error that HDF5 tells of is none here: whoever opens the file gets it too.

    Args:
        descriptor: of the file, open for reading.
        name: of the file, for messages.

    Raises:
        Unreadable: the library crashes, or comes to no end.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return  # there is no interpreter to be had
    # -P: a module that lies beside the model is none of ours.
    tried = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", "foldbn.frontends.trial", str(descriptor), str(_SECONDS)],
        env=os.environ | _ONE_THREAD,
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    ended = -tried.returncode
    if ended == signal.SIGXCPU:
        raise Unreadable(f"{name!r} is damaged HDF5: reading it comes to no end", _HINT)
    if ended in _CRASHES:
        told = signal.Signals(ended).name
        raise Unreadable(f"{name!r} is damaged HDF5: it crashes the library ({told})", _HINT)


def main() -> None:
    """Read all attributes, and what lies where, of the HDF5 file behind a descriptor."""
    descriptor, seconds = map(int, sys.argv[1:])
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_DATA, _BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    import h5py

    seen = itertools.count()

    def look_at(_name: str, item: Any) -> bool | None:
        with suppress(Exception):  # the next one may still crash
            dict(item.attrs)
        return next(seen) > _OBJECTS or None

    with os.fdopen(descriptor, "rb") as content, h5py.File(content, "r") as file:
        look_at("", file)
        file.visititems(look_at)


def _limit(kind: int, most: int) -> None:
    """Set a limit; below the hard one that is there, which no process can raise.

    Of a processor's time the signal comes at the soft limit, and no more than an end at the hard.
    """
    _, there = resource.getrlimit(kind)
    hard = most + 1 if there == resource.RLIM_INFINITY else min(most + 1, there)
    resource.setrlimit(kind, (min(most, max(hard - 1, 0)), hard))


if __name__ == "__main__":
    main()

"""How much memory and time a worker may take.

Memory is limited as the kernel counts private writable pages (``RLIMIT_DATA``), which follows
what a process uses. Pages of files do not count, above all the code of the libraries: a worker's
resident size is 0.4 to 0.5 GB greater than its data. The whole address space, which ``RLIMIT_AS``
limits, is several times as large in any process that loads TensorFlow, and boundless in one that
loads CUDA.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foldbn.errors import OutOfMemory

# Measured with TensorFlow 2.21 and the benchmark on: 0.5 GB for a network of 40 kB, 40 bytes
# for each byte of ResNet50 (100 MB) and 32 for each of a dense network of 400 MB.
_BASE = 4 * 10**9
_PER_BYTE = 64
_PER_PROCESSOR = 2**26  # stacks of the runtimes' threads
_NEARLY = 0.9  # of what is allowed: an error that nobody can explain is put down to it
_SHARE = 0.9  # of the machine's memory
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_RAN_OUT = re.compile(
    rb"bad_alloc|MemoryError|Cannot allocate memory|Unable to allocate|out of memory"
    rb"|Failed to allocate|Memory allocation still failed|OOM when allocating"
    rb"|Resource temporarily unavailable|cannot map zero-fill pages|failed to map segment",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Limits:
    """What a worker may take.

    Attributes:
        memory: bytes; 0 is as much as there is, None what `default_memory` says.
        seconds: until it is ended; 0 is for ever.
    """

    memory: int | None = None
    seconds: float = 0


def default_memory(paths: Iterable[Path]) -> int:
    """Return how many bytes a worker may take that works on the files and folders `paths`."""
    wanted = _BASE + _PER_PROCESSOR * (os.cpu_count() or 1) + _PER_BYTE * sum(map(_size, paths))
    return min(wanted, int(_SHARE * machine_memory()))


def machine_memory() -> int:
    """Return how many bytes of memory the machine has, or this container of it."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUPS:
        with suppress(OSError, ValueError):
            sizes.append(int(Path(path).read_text()))
    return min(sizes)


def limit_memory(size: int) -> None:
    """Let this process take no more than `size` bytes; 0 leaves it as it is."""
    if size:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        allowed = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it came from, is that there was no memory.

    A library that does not fit is an ImportError, in the words of the dynamic linker.
    """
    return any(
        isinstance(each, MemoryError)
        or "bad_alloc" in str(each)
        or "OOM when allocating" in str(each)
        or (isinstance(each, ImportError) and tells_of_memory(str(each).encode()))
        for each in _chain(error)
    )


def is_near(size: int) -> bool:
    """Whether this process takes, or took, nearly `size` bytes of what the limit counts."""
    most = max(peak_memory() - _status("RssFile"), _data())
    return bool(size) and most > _NEARLY * size


def peak_memory(*, of_children: bool = False) -> int:
    """Return how many bytes this process, or one that it waited for, has had at most.

    What Linux tells of the process itself begins with what its parent had, so its memory's own
    high-water mark is read.
    """
    if of_children:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return _status("VmHWM")


def out_of_memory(size: int) -> OutOfMemory:
    """Return the error of a worker that was allowed `size` bytes; 0 is all there is."""
    fact = "the worker process ran out of memory"
    if not size:
        return OutOfMemory(fact, "a machine with more memory may do it")
    return OutOfMemory(
        f"{fact}: it may take {size / 1e9:.1f} GB",
        "--memory-limit GB allows more, 0 as much as there is",
    )


def _data() -> int:
    """Return the bytes that ``RLIMIT_DATA`` counts of this process, 0 where nobody says."""
    return _status("VmData")


def _status(field: str) -> int:
    """Return a figure in bytes that Linux tells of this process, 0 where nobody says."""
    with suppress(OSError):
        text = Path("/proc/self/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0


def tells_of_memory(log: bytes) -> bool:
    """Whether the end of a log says that there was no memory."""
    return _RAN_OUT.search(log) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _size(path: Path) -> int:
    """Return the bytes of a file or of a SavedModel; what cannot be read has none."""
    total = 0
    with suppress(OSError):  # no file can have such a name
        for each in (path, path / "saved_model.pb", *path.glob("variables/*")):
            with suppress(OSError):
                total += each.stat().st_size if each.is_file() else 0
    return total

"""Values in terms of JSON."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """`value` in terms of JSON; what is not finite becomes null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


_RIGHTS = "ask for the right to read it, or give a copy of your own"
_REMEDIES = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOENT: "check the path",
    errno.EISDIR: "give a file, not a folder",
    errno.EIO: "copy it again from where it came",
}


def reason(error: OSError) -> str:
    """Why it cannot be read, and what to do."""
    remedy = _REMEDIES.get(error.errno or 0, "check that the file and its folder can be read")
    return f"{error.strerror or error}; {remedy}"


_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Limit of a container or of a job on a cluster."""


def available() -> int:
    """Bytes that can be taken without swapping; where a system does not say, all it has."""
    if sys.platform == "win32":
        return _windows()
    amounts = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if _MEMINFO.exists():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if line)
        amounts += [
            int(lines[name].split()[0]) * 1024 for name in ("MemAvailable",) if name in lines
        ]
    if _CGROUP.exists() and (limit := _CGROUP.read_text().strip()).isdigit():
        amounts.append(int(limit))
    return min(amounts)


def _windows() -> int:
    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in (
                "total",
                "free",
                "page",
                "free_page",
                "virtual",
                "free_virtual",
                "extended",
            )
        ]

    status = Status()
    status.length = ctypes.sizeof(Status)
    library: Any = getattr(ctypes, "windll")  # noqa: B009
    library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.free)


def gibibytes(size: float) -> str:
    """Size for people.

    Examples
    --------
    >>> gibibytes(3 * 2**30)
    '3.0 GiB'
    """
    return f"{size / 2**30:.1f} GiB"

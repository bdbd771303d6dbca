"""What to do where the system lets a file not be read."""

from __future__ import annotations

import errno

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

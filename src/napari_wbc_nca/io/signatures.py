"""What a file is by its first bytes, whatever it is called."""

from __future__ import annotations

_SIGNATURES = {
    b"PK\x03\x04": "torch",
    b"\x80\x02": "torch",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"\x89HDF": "an HDF5 file",
    b"\x80": "a Python pickle",
    b"\x1f\x8b": "a gzip file",
    b"version https://git-lfs": "a Git LFS pointer and not the file itself",
    b"<": "a web page or XML, as a failed download leaves",
}


def kind(content: bytes) -> str:
    """What the first bytes say: ``torch``, ``safetensors``, a description, or nothing."""
    if content[8:9] == b"{" and content[7:8] == b"\x00":
        return "safetensors"
    matches = (name for head, name in _SIGNATURES.items() if content.startswith(head))
    return next(matches, "")


def described(content: bytes) -> str:
    """What a file is, for people."""
    if not content:
        return "an empty file"
    found = kind(content)
    known = {"torch": "a ZIP archive or torch file", "safetensors": "a safetensors file"}
    return known.get(found, found) or f"a file that begins with {content[:8]!r}"

"""Recognising files that are not parquet, and advising what to do about them."""

import os
from pathlib import Path
from typing import Final

from dirtmodel.database import SQLITE_MAGIC

_READ: Final = 512
"""Bytes at the start of a file that are compared with the known formats."""

_MAGIC: Final = b"PAR1"

_ANNEX: Final = "git annex get"
_LFS: Final = "git lfs pull"

_STARTS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1f\x8b", "it is compressed with gzip; decompress it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; decompress it"),
    (b"BZh", "it is compressed with bzip2; decompress it"),
    (b"\xfd7zXZ\0", "it is compressed with xz; decompress it"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4; decompress it"),
    (b"PK\x03\x04", "it is a zip archive; unpack it"),
    (b"version https://git-lfs", f"it is a pointer of Git LFS; fetch its content with: {_LFS}"),
    (b"/annex/objects/", f"it is a pointer of git-annex; fetch its content with: {_ANNEX}"),
    (b"ARROW1", "it is an Arrow (Feather) file; write it as parquet"),
    (b"ORC", "it is an ORC file; write it as parquet"),
    (b"Obj\x01", "it is an Avro file; write it as parquet"),
    (SQLITE_MAGIC, "it is a SQLite database; name that database as the release"),
    (b"PARE", "it is encrypted; write it without encryption"),
)

_TEXTS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"<!doctype html", "it is an HTML page, such as a server's error or login; download it again"),
    (b"<html", "it is an HTML page, such as a server's error or login; download it again"),
    (b"<?xml", "it is an XML document, such as a server's error; download it again"),
    (b"{", "it is JSON, such as a server's error; download it again"),
)

COMPRESSED: Final = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip")


def describe(path: Path) -> str | None:
    """Describe a file that Arrow cannot read as parquet; None for a damaged parquet file."""
    with path.open("rb") as file:
        start = file.read(_READ)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_MAGIC)))
        end = file.read()
    if not start:
        return "it is empty; copy it again"
    if start.startswith(_MAGIC):
        return None if end == _MAGIC else "it is incomplete; copy it again"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for formats, beginning in ((_STARTS, start), (_TEXTS, text)):
        for magic, description in formats:
            if beginning.startswith(magic):
                return description
    if start[257:262] == b"ustar":
        return "it is a tar archive; unpack it"
    return f"it is not a parquet file (it begins with {start[:12]!r}); copy it again"


def describe_absent(path: Path) -> str:
    """Describe a missing file: its path, and what exists instead."""
    if path.is_symlink():
        target = path.readlink()
        if "annex" in target.parts:
            return f"{path} is a link of git-annex; fetch its content with: {_ANNEX}"
        return f"{path} is a link to {target}, which does not exist"
    if path.is_dir():
        return f"{path} is a folder without parquet files"
    for suffix in COMPRESSED:
        packed = path.with_name(path.name + suffix)
        if packed.exists():
            return f"{path} is missing, but {packed.name} exists; decompress it"
    return str(path)

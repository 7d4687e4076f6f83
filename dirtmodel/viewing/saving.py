"""Files that are complete or absent, and replace others only on request."""

import os
from collections.abc import Sequence
from pathlib import Path

from dirtmodel import outputs
from dirtmodel.errors import OutputError


def save(data: bytes, path: Path, *, replace: bool = False) -> None:
    """Write a file.

    Raises
    ------
    OutputError
        It cannot be written; or is there already, and `replace` is not set.
    """
    refuse_existing([path], replace=replace)
    with outputs.destination(path) as file:
        file.write(data)


def refuse_existing(paths: Sequence[Path], *, replace: bool) -> None:
    """Make sure that nothing would be overwritten; a link counts, wherever it points."""
    there = [] if replace else [path for path in paths if os.path.lexists(path)]
    if there:
        more = f" (and {len(there) - 1:,} more)" if there[1:] else ""
        raise OutputError(
            f"{there[0]}{more} is there already; choose another place with -o, or add --replace"
        )

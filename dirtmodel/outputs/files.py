"""Files that take their name only when they are complete.

One rule holds for every command and function that writes files. A path that exists is refused
unless it may be replaced, and a symbolic link exists wherever it points. What replaces a link takes
the place of the link itself. Devices and pipes are written to.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from dirtmodel import partial
from dirtmodel.errors import OutputError


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another path"
        ) from error


def is_stream(path: Path) -> bool:
    """Return whether a path leads to a device or a pipe, which is written to and not replaced.

    A link of the user's own to one is a link like any other; those below /dev and /proc are how the
    system names the streams of a process.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        return False
    return not path.is_symlink() or path.absolute().parts[1] in {"dev", "proc"}


def refuse_existing(paths: Sequence[Path], *, replace: bool) -> None:
    """Make sure that nothing would be overwritten.

    Raises
    ------
    OutputError
        If `replace` is not set and one of the paths exists; or one is a folder or a SQLite
        database.
    """
    there = [path for path in paths if os.path.lexists(path) and not is_stream(path)]
    for path in there:
        if path.is_dir() and not path.is_symlink():
            raise OutputError(f"{path} is a folder; choose the path of a file")
        _spare_database(path)
    if there and not replace:
        more = f" (and {len(there) - 1:,} more)" if there[1:] else ""
        raise OutputError(
            f"{there[0]}{more} exists already; choose another path, or add --replace "
            "(in Python replace=True)"
        )


def save(data: bytes, path: Path, *, replace: bool = False) -> None:
    """Write a file of these bytes; see `destination`."""
    with destination(path, replace=replace) as file:
        file.write(data)


@contextlib.contextmanager
def destination(path: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only when it is complete.

    Parameters
    ----------
    replace
        Whether it may take the place of a file or link of that name.

    Raises
    ------
    OutputError
        If it exists already or cannot be written; what was there before is left unchanged.
    """
    if is_stream(path):
        with _unwritable(path, "choose another path"), path.open("wb") as file:
            yield file
        return
    refuse_existing([path], replace=replace)
    existed = os.path.lexists(path)
    left = "the existing file is left unchanged" if existed else "no file is left behind"
    with contextlib.ExitStack() as stack:
        with _unwritable(path, "choose another path"):
            made = stack.enter_context(partial.file(path.parent))
        with _unwritable(path, left):
            with os.fdopen(made.handle, "wb", closefd=False) as file:
                yield file
            if path.is_file() and not path.is_symlink():
                os.fchmod(made.handle, path.stat().st_mode & 0o777)
            refuse_existing([path], replace=replace)
            made.move_to(path)


def _spare_database(path: Path) -> None:
    """Refuse to overwrite a database, whose path is easily typed for -o instead of --db."""
    if not path.is_file():
        return
    from dirtmodel.database import SQLITE_MAGIC

    with _unwritable(path, "choose another path"), path.open("rb") as file:
        start = file.read(len(SQLITE_MAGIC))
    if start == SQLITE_MAGIC:
        raise OutputError(
            f"{path} is a SQLite database and will not be overwritten; choose another path"
        )


@contextlib.contextmanager
def _unwritable(place: Path | str, then: str) -> Iterator[None]:
    """Turn errors of the system into ours; a reader of a pipe that has left is not an error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror}; {then}") from error

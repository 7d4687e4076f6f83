"""Writing files, which have temporary names until they are complete.

The same rules hold for all commands and functions that write files. An existing path is rejected
unless it may be replaced; a symbolic link counts as existing even if its target does not exist.
Replacing a link replaces the link itself, not its target. Devices and pipes are written to
directly.
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
    """Create a folder and its parents, if they do not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another path"
        ) from error


def is_stream(path: Path) -> bool:
    """Return True for a device or a pipe, which is written to directly.

    A link to one counts only below /dev and /proc, where links are the names of the streams of a
    process.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        return False
    return not path.is_symlink() or path.absolute().parts[1] in {"dev", "proc"}


def refuse_existing(paths: Sequence[Path], *, replace: bool) -> None:
    """Make sure that files can be written to some paths without overwriting anything.

    Raises
    ------
    OutputError
        If one of the paths exists and `replace` is False, or one is a folder or a SQLite database.
    """
    existing = [path for path in paths if os.path.lexists(path) and not is_stream(path)]
    for path in existing:
        if path.is_dir() and not path.is_symlink():
            raise OutputError(f"{path} is a folder; choose the path of a file")
        _refuse_database(path)
    if existing and not replace:
        more = f" (and {len(existing) - 1:,} more)" if existing[1:] else ""
        raise OutputError(
            f"{existing[0]}{more} exists already; choose another path, or add --replace "
            "(in Python replace=True)"
        )


def save(data: bytes, path: Path, *, replace: bool = False) -> None:
    """Write bytes to a file; see `destination`."""
    with destination(path, replace=replace) as file:
        file.write(data)


@contextlib.contextmanager
def destination(path: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for writing. It has a temporary name until it is complete.

    Parameters
    ----------
    replace
        Replace an existing file or link.

    Raises
    ------
    OutputError
        If the file exists already or cannot be written; an existing file is left unchanged.
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
            temporary = stack.enter_context(partial.file(path.parent))
        with _unwritable(path, left):
            with os.fdopen(temporary.handle, "wb", closefd=False) as file:
                yield file
            if path.is_file() and not path.is_symlink():
                os.fchmod(temporary.handle, path.stat().st_mode & 0o777)
            refuse_existing([path], replace=replace)
            temporary.move_to(path)


def _refuse_database(path: Path) -> None:
    """Refuse to overwrite a database, which users could name with -o instead of --db by mistake."""
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
    """Convert errors of the system to `OutputError`, except for a pipe closed by its reader."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror}; {then}") from error

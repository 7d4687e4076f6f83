"""Files and folders that have temporary names until they are complete.

The process that writes one holds a lock on it. The lock ends with the process, even if the process
is killed. A file or folder with such a name and without a lock was left behind; the next process
that writes to the same parent folder removes it.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dirtmodel.errors import OutputError

SUFFIX: Final = ".dirtmodel-partial"
"""End of every temporary name. No other program uses it, so that leftovers can be removed."""

_NAME: Final = re.compile(rf"\.[0-9a-f]{{16}}{re.escape(SUFFIX)}")

_cleared: set[Path] = set()
"""Folders that this process has cleared. Each is listed only once, because it may be very large."""


class Partial(NamedTuple):
    """A temporary file or folder: its path, and the handle that holds the lock."""

    path: Path
    handle: int

    def move_to(self, path: Path) -> None:
        """Rename it to its final name, replacing a file or an empty folder; see `move`."""
        move(self.handle, self.path, path)


@contextlib.contextmanager
def file(parent: Path) -> Iterator[Partial]:
    """Create an empty file in a folder, with the permissions of any new file.

    On exit the handle is closed, and the file is removed unless it was moved.

    Raises
    ------
    OSError
        If the file cannot be created.
    """
    with _temporary(parent, folder=False) as temporary:
        yield temporary


@contextlib.contextmanager
def folder(parent: Path) -> Iterator[Partial]:
    """Create an empty folder in a folder.

    On exit the handle is closed, and the folder is removed unless it was moved.

    Raises
    ------
    OSError
        If the folder cannot be created.
    """
    with _temporary(parent, folder=True) as temporary:
        yield temporary


def is_at(handle: int, path: Path) -> bool:
    """Return True if a path is that of the open file or folder with this handle."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(status, os.fstat(handle))


def move(handle: int, temporary: Path, path: Path) -> None:
    """Rename an open file or folder, and verify that it is at its new path afterwards.

    Raises
    ------
    OSError
        If it no longer has its temporary name, or cannot be renamed; `path` is unchanged.
    OutputError
        If another process replaced it while it was renamed.
    """
    if not is_at(handle, temporary):
        reason = f"another process removed or replaced {temporary}"
        raise OSError(errno.ESTALE, reason)
    temporary.replace(path)
    if not is_at(handle, path):
        raise OutputError(
            f"{path} does not hold what was written: another process replaced it or {temporary} at "
            "the same moment; write it again when that process has ended"
        )


@contextlib.contextmanager
def _temporary(parent: Path, *, folder: bool) -> Iterator[Partial]:
    _clear(parent)
    while True:
        path = parent / f".{secrets.token_hex(8)}{SUFFIX}"
        handle = None
        try:
            if folder:
                path.mkdir()
                handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            else:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            # Before the lock was taken, another process may have removed it as a leftover.
            if _lock(handle) and is_at(handle, path):
                yield Partial(path, handle)
                return
        finally:
            # An interrupt may arrive before `handle` is assigned; the path is ours all the same.
            is_ours = handle is None or is_at(handle, path)
            if handle is not None:
                os.close(handle)
            if is_ours:
                _remove(path)


def _remove(path: Path) -> None:
    # Needs a single file handle, unlike shutil.rmtree, which needs one for each level: there may be
    # no others.
    with contextlib.suppress(OSError):
        if not path.is_dir():
            path.unlink()
        for parent, _, names in os.walk(path, topdown=False):
            for name in names:
                Path(parent, name).unlink()
            Path(parent).rmdir()


def _lock(handle: int) -> bool:
    """Lock a file or folder; return False if another process holds a lock on it."""
    # On a file system without locks this returns True, and leftovers are never removed.
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _clear(parent: Path) -> None:
    """Remove what interrupted processes left in a folder, the first time it is used."""
    parent = parent.absolute()
    if parent in _cleared:
        return
    with os.scandir(parent) as entries:
        leftovers = [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]
    for path in leftovers:
        # It may be in use, belong to another user, or have been removed by another process.
        with contextlib.suppress(OSError):
            _remove_unless_locked(path)
    _cleared.add(parent)


def _remove_unless_locked(path: Path) -> None:
    is_folder = path.is_dir() and not path.is_symlink()
    # Network file systems can lock a file only if it is open for writing.
    handle = os.open(path, os.O_NOFOLLOW | (os.O_RDONLY if is_folder else os.O_RDWR))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
    finally:
        os.close(handle)

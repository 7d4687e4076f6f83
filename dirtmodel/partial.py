"""Files and folders under temporary names, until they are complete.

Whoever writes one holds a lock on it, which ends with the process, however that ends. What has such
a name and is not locked was left behind, and the next process that writes to the same folder
removes it.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dirtmodel.errors import OutputError

SUFFIX: Final = ".dirtmodel-partial"
"""No other program uses it: what is found under such a name may be removed."""

_NAME: Final = re.compile(rf"\.[0-9a-f]{{16}}{re.escape(SUFFIX)}")

_cleared: set[Path] = set()
"""Folders that this process has looked through; a folder may hold a hundred thousand pictures."""


class Partial(NamedTuple):
    """A temporary file or folder: its path, and the handle that holds the lock."""

    path: Path
    handle: int

    def move_to(self, path: Path) -> None:
        """Give it its name, in place of a file or an empty folder of that name; see `move`."""
        move(self.handle, self.path, path)


@contextlib.contextmanager
def file(parent: Path) -> Iterator[Partial]:
    """Create an empty file in a folder, with the rights that any new file has.

    It is removed in the end, unless it was moved. The handle is closed then, and not before.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    with _made(parent, folder=False) as made:
        yield made


@contextlib.contextmanager
def folder(parent: Path) -> Iterator[Partial]:
    """Create an empty folder in a folder; it is removed in the end, unless it was moved.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    with _made(parent, folder=True) as made:
        yield made


def is_at(handle: int, path: Path) -> bool:
    """Return whether the file or folder at a path is the one that a handle belongs to."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(handle))


def move(handle: int, temporary: Path, path: Path) -> None:
    """Rename what a handle belongs to, and make sure that nothing else takes its place.

    Raises
    ------
    OSError
        If it is no longer at its temporary name, or cannot be renamed; `path` is unchanged.
    OutputError
        If another process exchanged it at the very moment of renaming.
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
def _made(parent: Path, *, folder: bool) -> Iterator[Partial]:
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
            # A process that clears the folder may have been faster.
            if _lock(handle) and is_at(handle, path):
                yield Partial(path, handle)
                return
        finally:
            # An interrupt may arrive before the handle is known; the name is ours all the same.
            if handle is None or is_at(handle, path):
                _remove(path)
            if handle is not None:
                os.close(handle)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _lock(handle: int) -> bool:
    """Lock a file or folder; return False if another process holds a lock on it."""
    # On a file system without locks, nothing is ever cleared.
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _clear(parent: Path) -> None:
    """Remove what processes that no longer run left behind, once for each folder."""
    parent = parent.absolute()
    if parent in _cleared:
        return
    with os.scandir(parent) as entries:
        found = [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]
    for path in found:
        # In use, of another user, or cleared by another process meanwhile.
        with contextlib.suppress(OSError):
            _remove_unless_locked(path)
    _cleared.add(parent)


def _remove_unless_locked(path: Path) -> None:
    is_folder = path.is_dir() and not path.is_symlink()
    # Network file systems lock only what is open for writing.
    handle = os.open(path, os.O_NOFOLLOW | (os.O_RDONLY if is_folder else os.O_RDWR))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(handle)

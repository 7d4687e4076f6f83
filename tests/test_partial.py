"""Temporary files and folders: locked while they are written, removed when they are left behind."""

import os
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import dirtmodel as dm
from dirtmodel import outputs, partial

Make = Callable[[Path], AbstractContextManager[partial.Partial]]
KINDS = (partial.file, partial.folder)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    kind: Make = request.param
    return kind


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_cleared", set())


def test_a_file_that_is_not_completed_is_removed(make: Make, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), make(tmp_path):
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_removed_although_no_more_files_can_be_opened(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def fail() -> None:
        with partial.folder(tmp_path) as made:
            (made.path / "a/b/c").mkdir(parents=True)
            (made.path / "a/b/file").touch()
            lowest_free = os.dup(made.handle)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
            (made.path / "a/file").touch()

    try:
        with pytest.raises(OSError, match="Too many open files"):
            fail()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert list(tmp_path.iterdir()) == []


def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / f".0123456789abcdef{partial.SUFFIX}").touch()
    (tmp_path / f".fedcba9876543210{partial.SUFFIX}" / "qc").mkdir(parents=True)

    outputs.save(b"new", tmp_path / "new")

    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_files_of_a_running_process_are_kept(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(tmp_path) as written:
        monkeypatch.setattr(partial, "_cleared", set())
        outputs.save(b"new", tmp_path / "new")

        assert partial.is_at(written.handle, written.path)


def test_other_files_are_kept(tmp_path: Path) -> None:
    names = {f"dirt.db{partial.SUFFIX}", f".mine{partial.SUFFIX}", ".0123456789abcdef"}
    for name in names:
        (tmp_path / name).touch()

    outputs.save(b"new", tmp_path / "new")

    assert {path.name for path in tmp_path.iterdir()} == names | {"new"}


def test_a_file_whose_temporary_name_another_process_took_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"old")

    def write() -> None:
        with outputs.destination(path, replace=True) as file:
            file.write(b"new")
            (temporary,) = tmp_path.glob(f"*{partial.SUFFIX}")
            temporary.unlink()
            temporary.write_bytes(b"foreign")

    with pytest.raises(dm.OutputError) as caught:
        write()

    (temporary,) = tmp_path.glob(f"*{partial.SUFFIX}")
    assert str(caught.value) == (
        f"cannot write {path}: another process removed or replaced {temporary}; the existing file "
        "is left unchanged"
    )
    assert path.read_bytes() == b"old"
    assert temporary.read_bytes() == b"foreign"


def test_a_file_exchanged_while_it_is_renamed_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report"
    replace = Path.replace

    def exchanging(temporary: Path, target: Path) -> Path:
        temporary.unlink()
        temporary.write_bytes(b"foreign")
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", exchanging)

    with pytest.raises(dm.OutputError) as caught:
        outputs.save(b"new", path)

    assert str(caught.value).startswith(
        f"{path} does not hold what was written: another process replaced it or {tmp_path}/."
    )
    assert str(caught.value).endswith(
        " at the same moment; write it again when that process has ended"
    )

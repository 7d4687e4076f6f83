"""Loading into a SQLite file: whatever happens, the old database is unchanged.

After each failure, the old file's bytes must be unchanged and no other file may be left.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa
from forking import Forked

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.release.layout import QC_FOLDER

PROJECT = Path(dm.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release that loads quickly."""
    return sample.write_release(
        tmp_path_factory.mktemp("small"), subjects=2, slices=1, pictures="tiny"
    )


@pytest.fixture(scope="module")
def sizeable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release of about 8 MB."""
    return sample.write_release(
        tmp_path_factory.mktemp("sizeable"), subjects=20, slices=1, pictures="noise"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that contains only the databases of a test."""
    made = tmp_path / "databases"
    made.mkdir()
    return made


@pytest.fixture(params=["no old database", "an old database"])
def destination(request: pytest.FixtureRequest, small: Path, folder: Path) -> Iterator[Path]:
    """Return the destination of a load that fails, and check afterwards that it is unchanged."""
    path = folder / "dirt.db"
    if request.param == "an old database":
        dm.load(small, path, label="old")
    before = {file: file.read_bytes() for file in folder.iterdir()}

    yield path

    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def program(release: Path, db: Path, *, before: str = "", progress: str = "None") -> str:
    """Load, and print "begun" when writing starts."""
    return textwrap.dedent(
        f"""
        import os, signal, sys, time
        import dirtmodel as dm
        from dirtmodel import cli
        # As the command line does; pyarrow would import it, which takes longer than the load.
        sys.meta_path.insert(0, cli._WithoutPandas())
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        {before}
        def slowly(table, rows, n_bytes):
            print("begun", flush=True)
            time.sleep(0.1)
        try:
            dm.load({str(release)!r}, {str(db)!r}, replace=True, progress={progress})
        except dm.DirtmodelError as error:
            print(error)
            sys.exit(2)
        print("done")
        """
    )


# -- the finished file


def test_the_finished_file_is_sound_and_the_only_one(release: Path, folder: Path) -> None:
    path = folder / "dirt.db"

    dm.load(release, path)

    assert [file.name for file in folder.iterdir()] == ["dirt.db"]
    with sqlite3.connect(path) as plain:
        pragmas = ("journal_mode", "application_id", "integrity_check", "foreign_key_check")
        found = [plain.execute(f"PRAGMA {pragma}").fetchone() for pragma in pragmas]
        statistics = plain.execute("SELECT count(*) FROM sqlite_stat1").fetchone()
    plain.close()
    assert found == [("delete",), (database.APPLICATION_ID,), ("ok",), None]
    assert statistics > (0,)


def test_the_schema_is_what_the_migrations_make(release: Path, tmp_path: Path) -> None:
    dm.load(release, tmp_path / "loaded.db")
    with database.engine(database.parse_url(tmp_path / "migrated.db")).begin() as connection:
        database.migrate(connection)

    loaded, migrated = (
        _rows(tmp_path / name, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2")
        for name in ("loaded.db", "migrated.db")
    )

    assert [row for row in loaded if row[1] != "sqlite_stat1"] == migrated
    assert any(kind == "index" and sql for kind, _, _, sql in migrated)


def _rows(path: Path, statement: str) -> list[Any]:
    plain = sqlite3.connect(path)
    rows = plain.execute(statement).fetchall()
    plain.close()
    return rows


def test_the_plain_shell_reads_it(release: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    loaded = dm.load(release, path)

    (count,) = _rows(path, "SELECT count(*) FROM image")
    ((created, kind),) = _rows(path, "SELECT created, typeof(img) FROM image LIMIT 1")

    assert count == (loaded.n_rows["image"],)
    assert kind == "blob"
    assert len(created) == len("YYYY-MM-DD HH:MM:SS.ffffff")


def test_the_file_has_the_rights_of_any_new_file(small: Path, folder: Path) -> None:
    (folder / "other").touch()

    dm.load(small, folder / "dirt.db")

    assert (folder / "dirt.db").stat().st_mode == (folder / "other").stat().st_mode


def test_a_file_that_replaces_a_private_one_is_private(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    path.chmod(0o600)
    modes = []

    dm.load(
        small,
        path,
        replace=True,
        progress=lambda *_: modes.extend(file.stat().st_mode & 0o777 for file in folder.iterdir()),
    )

    assert {*modes, path.stat().st_mode & 0o777} == {0o600}


def test_another_programs_partial_file_is_left_unchanged(small: Path, folder: Path) -> None:
    (folder / "dirt.db.partial").write_text("precious")

    dm.load(small, folder / "dirt.db")

    assert (folder / "dirt.db.partial").read_text() == "precious"


# -- refusals before anything is done


def test_an_existing_database_is_refused_without_replace(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    before = path.read_bytes()

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path)

    assert str(caught.value) == (
        f"{path} exists; add --replace to replace it (it is left unchanged until the new one is "
        "complete)"
    )
    assert path.read_bytes() == before


def _text(path: Path) -> None:
    path.write_text("my notes")


def _empty(path: Path) -> None:
    path.touch()


def _other_database(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE image (id)")
    other.commit()
    other.close()


@pytest.mark.parametrize("make", [_text, _empty, _other_database, Path.mkdir])
@pytest.mark.parametrize("replace", [False, True])
def test_other_files_and_databases_are_never_replaced(
    make: Callable[[Path], None], replace: bool, small: Path, folder: Path
) -> None:
    path = folder / "dirt.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path, replace=replace)

    assert str(caught.value) == (
        f"{path} is not a database of dirtmodel and will not be replaced; choose another place "
        "with --db"
    )
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_missing_folder_is_reported(small: Path, tmp_path: Path) -> None:
    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, tmp_path / "no" / "dirt.db")

    assert str(caught.value) == (
        f"there is no folder {tmp_path / 'no'}; make it with: mkdir -p {tmp_path / 'no'}"
    )


def test_a_folder_without_the_right_to_write_is_reported(
    small: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so the check of the right is replaced.
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, destination, replace=True)

    assert str(caught.value) == (
        f"no right to write in {destination.parent}; choose another place with --db"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="has no folder that refuses even root")
def test_a_folder_that_refuses_even_root_is_reported(small: Path) -> None:
    folder = f"/proc/{os.getpid()}"

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, f"{folder}/dirt.db")

    assert str(caught.value) == (f"no right to write in {folder}; choose another place with --db")


def test_a_folder_that_turns_out_to_be_read_only_is_reported(
    small: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith(".dirtmodel-partial"):
            raise OSError(30, "Read-only file system")
        return open_(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, destination, replace=True)

    assert str(caught.value).startswith(
        f"could not write {destination}.dirtmodel-partial: Read-only file system; "
    )


def test_a_disk_that_becomes_full_during_a_load_is_reported(
    sizeable: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = threading.Event()

    def refuse(_: int) -> None:
        flushed.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(dm.DatabaseError) as caught:
        # Slowly, so that something is flushed before the end.
        dm.load(sizeable, destination, replace=True, progress=lambda *_: flushed.wait(5))

    assert str(caught.value).startswith(
        f"could not write {destination}.dirtmodel-partial: Input/output error; "
    )


def test_too_little_space_is_noticed_before_anything_is_written(
    small: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(destination.parent)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, destination, replace=True)

    n_bytes = next(small.rglob("image.parquet")).stat().st_size
    assert str(caught.value) == (
        f"{destination.parent} has 100 bytes free and the release needs at least {n_bytes:,} "
        "bytes; free some space or choose another place with --db"
    )


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_journal_beside_the_database_shows_that_it_is_in_use(
    suffix: str, small: Path, folder: Path
) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    before = path.read_bytes()
    leftover = folder / f"dirt.db{suffix}"
    leftover.write_bytes(b"pages")

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path, replace=True)

    assert str(caught.value) == (
        f"{leftover} shows that another program uses {path}, or died while it wrote to it; close "
        "that program; if none is left, complete or undo its last change with: "
        f"dirtmodel upgrade --db {path}"
    )
    assert path.read_bytes() == before
    assert leftover.read_bytes() == b"pages"


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_journal_without_a_database_is_refused(suffix: str, small: Path, folder: Path) -> None:
    leftover = folder / f"dirt.db{suffix}"
    leftover.write_bytes(b"pages")

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, folder / "dirt.db")

    assert str(caught.value) == (
        f"{leftover} is left over from another database and would damage a new one; remove it, or "
        "choose another place with --db"
    )
    assert list(folder.iterdir()) == [leftover]


@pytest.mark.parametrize("revision", ["9999", "0004"])
def test_a_database_of_a_newer_dirtmodel_is_not_replaced(
    revision: str, small: Path, folder: Path
) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    plain = sqlite3.connect(path)
    plain.execute("UPDATE alembic_version SET version_num = ?", [revision])
    plain.commit()
    plain.close()
    before = path.read_bytes()

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path, replace=True)

    assert str(caught.value) == (
        f"{path} is at revision {revision}, which this dirtmodel does not know; install a newer "
        "version of dirtmodel"
    )
    assert path.read_bytes() == before


def test_a_database_without_our_tables_is_replaced(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    dm.upgrade(path, "base")

    dm.load(small, path, label="new", replace=True)

    with dm.open(path) as session:
        assert session.scalars(sa.select(dm.Release.label)).all() == ["new"]


def test_a_damaged_database_is_not_replaced(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    whole = path.read_bytes()
    damaged = whole[:4096] + b"\xa5" * (len(whole) - 4096)
    path.write_bytes(damaged)

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path, replace=True)

    assert str(caught.value) == (
        f"{path} cannot be read (database disk image is malformed), so that tables and views added "
        "to it would be lost; nothing was changed; move it to another place, and load again"
    )
    assert path.read_bytes() == damaged
    assert list(folder.iterdir()) == [path]


def test_a_database_in_wal_mode_is_replaced(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    plain = sqlite3.connect(path)
    plain.execute("PRAGMA journal_mode=WAL")
    plain.execute("CREATE TABLE mine (a)")
    plain.commit()
    plain.close()

    dm.load(small, path, replace=True)

    assert _rows(path, "SELECT count(*) FROM mine") == [(0,)]
    assert _rows(path, "PRAGMA journal_mode") == [("delete",)]
    assert [file.name for file in folder.iterdir()] == ["dirt.db"]


def test_a_database_that_another_program_writes_to_is_not_replaced(
    small: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    connect = sqlite3.connect
    other = connect(path, isolation_level=None)

    def begin(table: str, _rows: int, _bytes: int) -> None:
        if table == "image" and not other.in_transaction:
            monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, timeout=0.05))
            other.execute("BEGIN IMMEDIATE")

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path, replace=True, progress=begin)

    other.close()
    assert str(caught.value) == (
        f"{path} cannot be replaced: database is locked; nothing was changed; try again when no "
        "other program writes to it"
    )


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_lock_is_noticed_before_anything_is_loaded(
    lock: str, small: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "dirt.db"
    dm.load(small, path)
    connect = sqlite3.connect
    other = connect(path, isolation_level=None)
    other.execute(f"BEGIN {lock}")
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, timeout=0.05))

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path, replace=True, progress=lambda *_: pytest.fail("it was loaded"))

    other.close()
    assert str(caught.value) == (
        f"{path} cannot be replaced: database is locked; nothing was changed; try again when no "
        "other program writes to it"
    )


def test_a_link_leads_to_the_file_that_is_replaced(small: Path, folder: Path) -> None:
    real = folder / "real" / "dirt.db"
    real.parent.mkdir()
    link = folder / "link.db"
    link.symlink_to(real)

    dm.load(small, link, label="first")
    dm.load(small, link, label="second", replace=True)

    assert link.is_symlink()
    assert [file.name for file in real.parent.iterdir()] == ["dirt.db"]
    with dm.open(real) as session:
        assert session.scalars(sa.select(dm.Release.label)).all() == ["second"]


def test_a_reader_keeps_the_old_database_while_it_is_replaced(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    dm.load(small, path, label="old")

    with dm.open(path) as reader:
        reader.scalars(sa.select(dm.Session.id)).all()
        dm.load(small, path, label="new", replace=True)
        seen = reader.scalars(sa.select(dm.Release.label)).all()

    assert seen == ["old"]
    with dm.open(path) as session:
        assert session.scalars(sa.select(dm.Release.label)).all() == ["new"]


# -- failures on the way


@pytest.mark.parametrize("table", ["session", "image", "rating", "coordinate"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_an_exception_leaves_no_trace(
    error: type[BaseException], table: str, small: Path, destination: Path
) -> None:
    def stop(reached: str, _rows: int, _bytes: int) -> None:
        if reached == table:
            raise error

    with pytest.raises(error):
        dm.load(small, destination, replace=True, progress=stop)


def test_a_partial_file_that_another_process_exchanged_replaces_nothing(
    small: Path, destination: Path
) -> None:
    partial = destination.with_name("dirt.db.dirtmodel-partial")

    def exchange(table: str, _rows: int, _n_bytes: int) -> None:
        if table == "coordinate":
            partial.unlink()
            partial.touch()

    existed = destination.exists()
    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, destination, replace=True, progress=exchange)

    partial.unlink()
    assert str(caught.value) == (
        f"could not write {partial}: another process removed or replaced {partial}; "
        + (f"{destination} is unchanged" if existed else "nothing was loaded")
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.0, 0.03])
def test_an_interruption_leaves_no_trace(
    number: signal.Signals, delay: float, sizeable: Path, destination: Path
) -> None:
    process = Forked(program(sizeable, destination, progress="slowly"))
    assert process.out.readline() == "begun\n"
    time.sleep(delay)

    process.send_signal(number)

    code, out, err = process.finished()
    assert code != 0
    assert "done" not in out
    assert "KeyboardInterrupt" in err


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.1, 0.2])
def test_a_kill_leaves_the_old_database_and_the_next_load_cleans_up(
    delay: float, sizeable: Path, small: Path, folder: Path
) -> None:
    path = folder / "dirt.db"
    dm.load(small, path, label="old")
    before = path.read_bytes()
    process = Forked(program(sizeable, path, progress="slowly"))
    assert process.out.readline() == "begun\n"
    time.sleep(delay)

    process.send_signal(signal.SIGKILL)

    process.finished()
    assert path.read_bytes() == before
    assert (folder / "dirt.db.dirtmodel-partial").exists()
    dm.load(small, path, label="new", replace=True)
    assert [file.name for file in folder.iterdir()] == ["dirt.db"]


@pytest.mark.parametrize(
    ("moment", "is_new"),
    [
        ("import dirtmodel.loading.sqlite as s; s._lock = kill", False),
        ("import dirtmodel.loading.sqlite as s; s._empty_schema = kill", False),
        ("from dirtmodel import database; database.check_foreign_keys = kill", False),
        ("os.fsync = kill", False),
        ("from pathlib import Path; Path.replace = kill", False),
        ("import dirtmodel.loading.sqlite as s; s._sync = kill", True),
    ],
)
def test_a_kill_at_any_step_leaves_the_old_database_or_the_whole_new_one(
    moment: str, is_new: bool, small: Path, folder: Path
) -> None:
    path = folder / "dirt.db"
    dm.load(small, path, label="old")
    kill = "kill = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"

    code, _, err = Forked(program(small, path, before=f"{kill}; {moment}")).finished()

    assert code == -signal.SIGKILL, err
    with dm.open(path) as session:
        (label,) = session.scalars(sa.select(dm.Release.label)).all()
    assert (label != "old") == is_new
    assert _rows(path, "PRAGMA integrity_check") == [("ok",)]
    dm.load(small, path, replace=True)
    assert [file.name for file in folder.iterdir()] == ["dirt.db"]


@pytest.mark.parametrize("kilobytes", [1, 40, 200, 2_000, 6_000])
def test_a_full_disk_leaves_no_trace(kilobytes: int, sizeable: Path, destination: Path) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes << 10},) * 2)"

    code, out, err = Forked(program(sizeable, destination, before=limit)).finished()

    assert (code, err) == (2, "")
    what = f"{destination} is unchanged" if destination.exists() else "nothing was loaded"
    assert out.startswith(f"could not write {destination}.dirtmodel-partial: ")
    assert out.endswith(f"; {what}\n")


# -- partial files and other loads


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"SQLite format 3\0", b"\0" * 5000], ids=lambda c: repr(c[:8])
)
def test_a_torn_partial_file_is_removed(content: bytes, small: Path, folder: Path) -> None:
    (folder / "dirt.db.dirtmodel-partial").write_bytes(content)

    dm.load(small, folder / "dirt.db")

    assert [file.name for file in folder.iterdir()] == ["dirt.db"]


def test_a_whole_partial_file_is_removed(small: Path, folder: Path) -> None:
    dm.load(small, folder / "dirt.db", label="old")
    (folder / "dirt.db").rename(folder / "dirt.db.dirtmodel-partial")

    dm.load(small, folder / "dirt.db", label="new")

    assert [file.name for file in folder.iterdir()] == ["dirt.db"]
    with dm.open(folder / "dirt.db") as session:
        assert session.scalars(sa.select(dm.Release.label)).all() == ["new"]


def test_a_folder_in_place_of_the_partial_file_is_reported(small: Path, folder: Path) -> None:
    partial = folder / "dirt.db.dirtmodel-partial"
    partial.mkdir()

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, folder / "dirt.db")

    assert str(caught.value) == (
        f"could not write {partial}: unable to open database file; nothing was loaded"
    )


def test_of_two_loads_at_once_the_second_is_refused(
    sizeable: Path, small: Path, folder: Path
) -> None:
    path = folder / "dirt.db"
    first = Forked(program(sizeable, path, progress="slowly"))
    assert first.out.readline() == "begun\n"

    with pytest.raises(dm.DatabaseError) as caught:
        dm.load(small, path)

    assert str(caught.value) == f"another load into {path} is running; wait for it to end"
    code, out, err = first.finished()
    assert (code, err) == (0, "")
    assert out.endswith("done\n")
    with dm.open(path) as session:
        label = session.scalars(sa.select(dm.Release.label)).one()
    assert label == sizeable.name


def test_two_loads_in_one_process_do_not_share_a_file(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    messages = []

    def load_again(table: str, _rows: int, _bytes: int) -> None:
        if table == "image" and not messages:
            with pytest.raises(dm.DatabaseError) as caught:
                dm.load(small, path)
            messages.append(str(caught.value))

    dm.load(small, path, progress=load_again)

    assert messages == [f"another load into {path} is running; wait for it to end"]
    assert _rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_database_that_appears_meanwhile_is_not_overwritten(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"

    def appear(_table: str, _rows: int, _bytes: int) -> None:
        path.write_text("someone else's")

    with pytest.raises(dm.DatabaseError, match="is not a database of dirtmodel"):
        dm.load(small, path, progress=appear)

    assert path.read_text() == "someone else's"
    assert list(folder.iterdir()) == [path]


def test_loads_that_start_at_once_never_spoil_each_other(small: Path, folder: Path) -> None:
    path = folder / "dirt.db"
    processes = [Forked(program(small, path)) for _ in range(4)]

    ended = [process.finished() for process in processes]

    assert {code for code, _, _ in ended} <= {0, 2}
    assert any(code == 0 for code, _, _ in ended)
    refused = {out for code, out, _ in ended if code == 2}
    assert refused <= {f"another load into {path} is running; wait for it to end\n"}
    assert _rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert [file.name for file in folder.iterdir()] == ["dirt.db"]


@pytest.mark.parametrize("moment", ["before the lock", "after the lock"])
def test_a_partial_file_of_another_load_is_left_alone(
    moment: str, small: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dirtmodel.loading import sqlite

    partial = folder / "dirt.db.dirtmodel-partial"
    lock = sqlite._lock

    def take(connection: sqlite3.Connection) -> bool:
        locked = moment == "after the lock" and lock(connection)
        partial.rename(folder / "cleared away")
        partial.write_bytes(b"the other's")
        return locked or lock(connection)

    monkeypatch.setattr(sqlite, "_lock", take)

    with pytest.raises(dm.DatabaseError, match=r"another load into .* is running"):
        dm.load(small, folder / "dirt.db")

    assert partial.read_bytes() == b"the other's"
    assert not (folder / "dirt.db").exists()


def test_a_release_that_vanishes_meanwhile_is_not_blamed_on_the_database(
    small: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = Path.open

    def fail(path: Path, *args: Any, **options: Any) -> Any:
        if path.suffix == ".parquet":
            raise OSError(5, "Input/output error")
        return open_(path, *args, **options)

    monkeypatch.setattr(Path, "open", fail)

    with pytest.raises(dm.ReleaseError) as caught:
        dm.load(small, destination, replace=True)

    assert str(caught.value).startswith("cannot read session.parquet of ")
    assert str(caught.value).endswith(": Input/output error; try again when that is resolved")


# -- memory


def peak_of_loading(release: Path, db: Path) -> int:
    """Return the peak resident memory in bytes of a load in a new process.

    Unlike getrusage, the kernel's status file does not include the parent process.
    """
    say = """import atexit; atexit.register(lambda: print(open("/proc/self/status").read()))"""
    done = subprocess.run(
        [sys.executable, "-c", program(release, db, before=say)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)[0]) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_memory_does_not_grow_with_the_release(tmp_path: Path) -> None:
    # In one row group, as published. Reading it as a whole needs more memory than is allowed,
    # because Python and its libraries take about 180 MB.
    release = sample.write_release(
        tmp_path / "release", subjects=56, slices=7, pictures="noise", picture_bytes=37_000
    )
    assert (release / QC_FOLDER / "image.parquet").stat().st_size > 250 << 20

    peak = peak_of_loading(release, tmp_path / "dirt.db")

    assert peak < 400 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_memory_does_not_grow_with_large_pictures_side_by_side(tmp_path: Path) -> None:
    tables = sample.make_tables(subjects=12, pictures="noise", hazards=False)
    (gif,) = set(
        sample.make_tables(subjects=1, steps=[4], pictures="tiny", hazards=False)["image"][
            "img"
        ].to_pylist()
    )
    image = tables["image"]
    like = image.slice(0, 1).to_pylist()[0]
    large = [
        # Bytes after the end of a GIF are ignored, and random bytes do not compress.
        {**like, "id": 1_000_000 + n, "slice": 1_000 + n, "img": gif + os.urandom(600_000)}
        for n in range(300)
    ]
    tables["image"] = pa.concat_tables([image, pa.Table.from_pylist(large, image.schema)])
    release = sample.write_tables(tables, tmp_path / "release")
    # Written by Polars, whose pages are small for pictures of any size.
    frame = pl.from_arrow(tables["image"])
    assert isinstance(frame, pl.DataFrame)
    frame.write_parquet(release / QC_FOLDER / "image.parquet", row_group_size=1_000_000)

    peak = peak_of_loading(release, tmp_path / "dirt.db")

    assert peak < 400 << 20

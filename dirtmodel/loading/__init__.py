"""Loading a release into a database, completely or not at all.

- `runs`: sorting rows, so that they are quick to write
- `rows`: converting batches to rows, the same for both engines
- `refresh`: computing the derived tables
- `extending`: adding columns and numbers beyond this version's schema
- `writer`: what a writer does; `sqlite` and `postgres`: the writers of the two engines
- `schemas`: checking the Postgres schema that a release is loaded into
- `keep`: preserving tables, views, indexes and triggers that users added
- `upgrading`: migrating a database to another revision
"""

import concurrent.futures
import contextlib
import datetime as dt
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel._version import __version__
from dirtmodel.errors import ReleaseError, UsageError
from dirtmodel.loading import rows
from dirtmodel.loading.runs import in_runs
from dirtmodel.loading.writer import Writer
from dirtmodel.models import Finding, Release, ReleaseFile
from dirtmodel.release import Batch, Place, Reader, Source, opened
from dirtmodel.release import Finding as Found
from dirtmodel.release.layout import TABLES
from dirtmodel.release.reader import Progress
from dirtmodel.release.tables import InvalidReleaseError

_HASHED_BYTES: Final = 1 << 20
"""Bytes of a file that are read and hashed at a time; a failed load stops the hashing between."""

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, repr=False)
class Loaded:
    """The result of a load; `str` describes it in one line, without the findings."""

    url: sa.URL
    label: str
    n_rows: dict[str, int]
    n_quarantined: int
    findings: list[Found]

    def __str__(self) -> str:
        rows = ", ".join(f"{n:,} {table}" for table, n in self.n_rows.items())
        kept = f", {self.n_quarantined:,} of them in quarantine" if self.n_quarantined else ""
        return f"Loaded {self.label} into {database.display(self.url)}: {rows} rows{kept}"

    def __repr__(self) -> str:
        return f"<{self}>"


def load(
    release: Place,
    db: str | sa.URL | os.PathLike[str] = database.DEFAULT,
    *,
    replace: bool = False,
    label: str | None = None,
    quarantine: bool = False,
    extend: bool = False,
    progress: Progress | None = None,
) -> Loaded:
    """Load a release into a new database, completely or not at all.

    Parameters
    ----------
    release
        The folder of the release: `qc` itself or any folder above it in the documented layout. Or a
        SQLite file or URL of a database with DIRT's own tables, or with those of any version of
        dirtmodel. It is only read.
    db
        Path of a SQLite file, or a SQLAlchemy URL.
    replace
        Replace the release in an existing database, which is left unchanged until the new release
        is complete. Tables, views, indexes and triggers that users added are kept.
    label
        Name of the release; by default the name of its folder.
    quarantine
        Load the rows without errors and store the others in the table `quarantine`, instead of
        rejecting the release.
    extend
        Accept numbers of steps, displays and verdicts that DIRT does not define, up to 99, with
        placeholder names such as `STEP_5`.
    progress
        Called after each batch with its table, its number of rows and its bytes of pictures.

    Raises
    ------
    ReleaseError
        If the release is not found or has errors; nothing has been written then.
    DatabaseError
        If the destination cannot be written; an existing database is left unchanged.
    """
    url = database.parse_url(db)
    writer = _writer(url, replace=replace)
    with opened(release) as source, _hashing(source) as hashes:
        _require_printable(label or source.name)
        writer.check_destination(source.n_bytes)
        before = _stamps(source)
        reader = Reader(source, extend=extend)
        targets = rows.number_targets(
            _refuse_errors(reader, reader.batches(pictures=False), quarantine=quarantine)
        )
        with writer.transaction(reader.extension) as connection:
            n_quarantined = _write(
                writer, reader, targets, quarantine=quarantine, progress=progress
            )
            _refuse_changes(source, before)
            loaded = Loaded(
                url,
                label or source.name,
                dict(reader.n_rows),
                n_quarantined,
                reader.findings.report(),
            )
            _record(connection, loaded, reader, hashes())
    return loaded


def _writer(url: sa.URL, *, replace: bool) -> Writer:
    if database.is_sqlite(url):
        from dirtmodel.loading.sqlite import SqliteWriter

        return SqliteWriter(url, replace=replace)
    database.require_psycopg()
    from dirtmodel.loading.postgres import PostgresWriter

    return PostgresWriter(url, replace=replace)


def _refuse_errors(
    reader: Reader, batches: Iterator[Batch], *, quarantine: bool
) -> Iterator[Batch]:
    """Yield the batches, then raise an error if the release has errors and no quarantine."""
    yield from batches
    errors = reader.findings.errors()
    if errors and not quarantine:
        raise InvalidReleaseError(reader.release, errors, extend=reader.extend)


def _write(
    writer: Writer,
    reader: Reader,
    targets: rows.Targets,
    *,
    quarantine: bool,
    progress: Progress | None,
) -> int:
    """Write all batches, and return the number of rows in quarantine."""
    import pyarrow as pa

    n_quarantined = 0
    written: rows.Targets = {}
    batches = reader.batches(pictures=True, keep_rejected=quarantine)
    for batch in _refuse_errors(reader, _ahead(in_runs(batches)), quarantine=quarantine):
        writer.insert(rows.of_batch(writer, batch, reader.columns[batch.table]))
        if batch.pictures is not None:
            writer.insert(rows.of_pictures(batch, batch.pictures, targets))
            written.update((key, targets[key]) for key in rows.target_keys(batch))
        if batch.rejected:
            n_quarantined += len(batch.rejected)
            writer.insert(rows.of_rejected(batch.rejected))
        if progress is not None:
            progress(batch.table, len(batch), batch.n_bytes)
    # Arrow keeps memory that it no longer uses, and computing the derived tables needs memory.
    pa.default_memory_pool().release_unused()
    if written:
        # Not all of `targets`: some may have no picture, because all were rejected.
        writer.insert(rows.of_targets(written))
    return n_quarantined


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Read the next batch in a second thread while the caller processes the current one."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield batch


def _record(
    connection: sa.Connection,
    loaded: Loaded,
    reader: Reader,
    hashes: dict[str, str],
) -> None:
    """Insert the release, its files and its findings."""
    connection.execute(
        sa.insert(Release),
        {
            "id": 1,
            "label": loaded.label,
            "source": reader.release.place,
            "loaded_at": dt.datetime.now(dt.UTC),
            "dirtmodel_version": __version__,
        },
    )
    files = [
        {
            "name": reader.release.file(table),
            "n_rows": reader.n_rows[table],
            "n_empty_rows": reader.n_empty_rows[table],
            "n_bytes": sum(path.stat().st_size for path in paths),
            "sha256": hashes[table],
        }
        for table in TABLES
        if (paths := reader.release.paths(table))
    ]
    if files:
        connection.execute(sa.insert(ReleaseFile), files)
    if loaded.findings:
        connection.execute(
            sa.insert(Finding),
            [
                {**found._asdict(), "id": id_, "examples": list(found.examples)}
                for id_, found in enumerate(loaded.findings, 1)
            ],
        )


def _require_printable(label: str) -> None:
    """Reject a label with line breaks or other characters that cannot be printed."""
    if not label.isprintable():
        raise UsageError(
            f"the label {label!r} has characters that cannot be printed; choose another with "
            "--label"
        )


_Stamps = dict[str, list[tuple[Path, int, int, int]]]


def _stamps(source: Source) -> _Stamps:
    """Return the path, inode, size and time of modification of each file, by table."""
    return {
        table: [
            (path, status.st_ino, status.st_size, status.st_mtime_ns)
            for path in source.paths(table)
            for status in [path.stat()]
        ]
        for table in TABLES
    }


def _refuse_changes(source: Source, before: _Stamps) -> None:
    """Raise an error if a file changed; what was checked must be what was written."""
    after = _stamps(source)
    changed = [source.file(table) for table in before if after.get(table) != before[table]]
    if changed:
        raise ReleaseError(
            f"{', '.join(changed)} changed while the release was loaded; nothing was loaded; load "
            "the release again when it is complete"
        )


@contextlib.contextmanager
def _hashing(source: Source) -> Iterator[Callable[[], dict[str, str]]]:
    """Hash the files in a second thread; yield a function that waits for the hashes."""
    stopped = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        hashes = pool.submit(_hash_files, source, stopped)
        try:
            yield hashes.result
        finally:
            stopped.set()


def _hash_files(source: Source, stopped: threading.Event) -> dict[str, str]:
    import hashlib

    hashes = {}
    buffer = bytearray(_HASHED_BYTES)
    for table in TABLES:
        # If a table has several files, they are hashed together.
        digest = hashlib.sha256()
        for path in source.paths(table):
            try:
                with path.open("rb", buffering=0) as file:
                    while (n := file.readinto(buffer)) and not stopped.is_set():
                        digest.update(memoryview(buffer)[:n])
            except OSError as error:
                raise ReleaseError(
                    f"cannot read {path}: {error.strerror}; nothing was loaded"
                ) from error
        hashes[table] = digest.hexdigest()
    return hashes

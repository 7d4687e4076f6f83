"""Batches → rows, all of them or none.

- `runs`: rows in an order that is quick to write
- `rows`: what goes into each table, whichever engine
- `refresh`: the derived tables
- `extending`: columns and numbers beyond this version's schema
- `sqlite`, `postgres`: one writer per engine, each at its engine's speed
- `keep`: objects that users added to a SQLite database
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
"""Read and hashed at a time, so that a load that fails need not wait for all."""

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, repr=False)
class Loaded:
    """What a load did; `str` describes it in one line, without the findings."""

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
        database with DIRT's own tables, or those of any version of dirtmodel: a SQLite file or a
        URL; it is only read.
    db
        Path of a SQLite file, or a SQLAlchemy URL.
    replace
        Replace the release that is there; it stays intact until the new one is complete. Tables,
        views, indexes and triggers that users added are kept.
    label
        Name of the release; by default that of its folder.
    quarantine
        Load the rows that are sound and keep the others in the table `quarantine`, instead of
        refusing the release.
    extend
        Accept numbers of steps, displays and verdicts that DIRT does not define, up to 99, under
        placeholder names such as `STEP_5`.
    progress
        Called after each batch with its table, rows and bytes of pictures.

    Raises
    ------
    ReleaseError
        When the release is not found or has errors; nothing has been written then.
    DatabaseError
        When the destination cannot be written; what was there is still there.
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
    """Pass batches on; at their end, refuse the release if rows had to be left out."""
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
    """Write all batches and return the number of rows quarantined."""
    import pyarrow as pa

    n_quarantined = 0
    shown: rows.Targets = {}
    batches = reader.batches(pictures=True, keep_rejected=quarantine)
    for batch in _refuse_errors(reader, _ahead(in_runs(batches)), quarantine=quarantine):
        writer.insert(rows.of_batch(writer, batch, reader.columns[batch.table]))
        if batch.pictures is not None:
            writer.insert(rows.of_pictures(batch, batch.pictures, targets))
            shown.update((key, targets[key]) for key in rows.target_keys(batch))
        if batch.rejected:
            n_quarantined += len(batch.rejected)
            writer.insert(rows.of_rejected(batch.rejected))
        if progress is not None:
            progress(batch.table, len(batch), batch.n_bytes)
    # Arrow keeps what it no longer needs, and the derived tables take memory of their own.
    pa.default_memory_pool().release_unused()
    if shown:
        # Not all of `targets`: the pictures of some may all have been rejected.
        writer.insert(rows.of_targets(shown))
    return n_quarantined


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Make the next batch in a second thread while the caller works on the last one."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _record(
    connection: sa.Connection,
    loaded: Loaded,
    reader: Reader,
    hashes: dict[str, str],
) -> None:
    """Write down what was loaded, and what was found in it."""
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
    """Refuse a label that would be printed as several lines, or not at all."""
    if not label.isprintable():
        raise UsageError(
            f"the label {label!r} has characters that cannot be printed; choose another with "
            "--label"
        )


_Stamps = dict[str, list[tuple[Path, int, int, int]]]


def _stamps(source: Source) -> _Stamps:
    """Return what changes with the content of files, by table."""
    return {
        table: [
            (path, status.st_ino, status.st_size, status.st_mtime_ns)
            for path in source.paths(table)
            for status in [path.stat()]
        ]
        for table in TABLES
    }


def _refuse_changes(source: Source, before: _Stamps) -> None:
    """Each file is read several times, and what was checked must be what was written."""
    after = _stamps(source)
    changed = [source.file(table) for table in before if after.get(table) != before[table]]
    if changed:
        raise ReleaseError(
            f"{', '.join(changed)} changed while the release was loaded; nothing was loaded; load "
            "it again when it is complete"
        )


@contextlib.contextmanager
def _hashing(source: Source) -> Iterator[Callable[[], dict[str, str]]]:
    """Hash the files of a release in a second thread; what is given waits for their sha256."""
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
        # The parts of a table are hashed as if they were one file.
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

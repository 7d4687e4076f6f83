"""Checking that each table of a release can be read, and finding its columns."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from dirtmodel import database
from dirtmodel.errors import ReleaseError, shortage
from dirtmodel.release.columns import COLUMNS, OPTIONAL, Column
from dirtmodel.release.conversion import accepts
from dirtmodel.release.extension import extra_columns
from dirtmodel.release.findings import FATAL, Finding, Findings, describe
from dirtmodel.release.layout import TABLES
from dirtmodel.release.sources import Source
from dirtmodel.wording import count

if TYPE_CHECKING:
    import pyarrow as pa

_LOG: Final = logging.getLogger(__name__)

_USUAL_MEMORY: Final = 250_000_000
"""Bytes of memory that a check or a load needs for any release."""

_MUCH_MEMORY: Final = 400_000_000 - _USUAL_MEMORY
"""Further bytes for the pages of a file, above which a warning is logged."""


def check_tables(source: Source, findings: Findings) -> dict[str, tuple[Column, ...]]:
    """Find problems of the tables, and return the columns of each table.

    Raises
    ------
    InvalidReleaseError
        If a table or a column is missing, unreadable or of a type that cannot hold its values.
    """
    columns = {}
    for table in TABLES:
        file = source.file(table)
        if absent := source.absent(table):
            findings.add("missing-file", file, 1, [absent])
            continue
        try:
            schema = schema_of(source, table)
            _warn_of_memory(source, table, findings)
        except InvalidReleaseError as error:
            for finding in error.findings:
                findings.add(finding.code, file, finding.n, finding.examples)
            continue
        columns[table] = _check_columns(source, table, schema, findings)
    fatal = [finding for finding in findings.report() if finding.code in FATAL]
    if fatal:
        raise InvalidReleaseError(source, fatal)
    return columns


def _warn_of_memory(source: Source, table: str, findings: Findings) -> None:
    """Report, and log before the table is read, that reading it needs much memory."""
    with readable(source, table):
        n_bytes = source.n_bytes_held(table)
    if n_bytes > _MUCH_MEMORY:
        file = source.file(table)
        example = f"{file}: reading it takes about {(n_bytes + _USUAL_MEMORY) / 1e9:.1f} GB"
        warning = Findings()
        warning.add("large-pages", file, 1, [example])
        findings.add("large-pages", file, 1, [example])
        _LOG.warning(describe(warning.report()))


def _check_columns(
    source: Source, table: str, schema: "pa.Schema", findings: Findings
) -> tuple[Column, ...]:
    file = source.file(table)
    expected = {column.name: column for column in COLUMNS[table]}
    for name, column in expected.items():
        count = schema.names.count(name)
        if not count and name in OPTIONAL:
            findings.add("no-notes", file, 1, [f"{file} has no column {name}"])
        elif not count:
            findings.add("missing-column", file, 1, [f"{file} has no column {name}"])
        elif count > 1:
            findings.add("wrong-type", file, 1, [f"{file} has {count} columns {name}"])
        elif not accepts(column.kind, schema.field(name).type):
            physical = schema.field(name).type
            findings.add(
                "wrong-type",
                file,
                1,
                [f"{file} column {name} is {physical}, which cannot hold {column.kind.value}"],
            )
    extra = []
    for name, column_or_reason in extra_columns(table, schema):
        if isinstance(column_or_reason, Column):
            extra.append(column_or_reason)
            example = f"{file} column {name} ({schema.field(name).type})"
            findings.add("extra-column", file, 1, [example])
        else:
            example = f"{file} column {name!r}: {column_or_reason}"
            findings.add("unkept-column", file, 1, [example])
    return (*COLUMNS[table], *extra)


def schema_of(source: Source, table: str) -> "pa.Schema":
    """Return the columns of a table and their physical types."""
    with readable(source, table):
        return source.schema(table)


@contextlib.contextmanager
def readable(source: Source, table: str) -> Iterator[None]:
    """Convert errors of reading a table to `ReleaseError`s that name it and give advice."""
    import pyarrow as pa

    file = source.file(table)
    try:
        yield
    except (MemoryError, OSError, pa.ArrowException, UnicodeDecodeError) as error:
        what = shortage(error)
        if what is None and isinstance(error, OSError) and error.errno is not None:
            what = f"{os.strerror(error.errno)}; try again when that is resolved"
        if what is not None:
            # The cause is the system, not the file.
            raise ReleaseError(f"cannot read {file} of {source.place}: {what}") from error
        first = database.first_line(error)
        unreadable = Findings()
        unreadable.add("unreadable-file", file, 1, [f"{file}: {first}"])
        raise InvalidReleaseError(source, unreadable.report()) from error


class InvalidReleaseError(ReleaseError):
    """A release that has errors; `findings` contains all of them."""

    def __init__(self, release: Source, findings: list[Finding], *, extend: bool = False) -> None:
        self.findings = findings
        n = sum(finding.n for finding in findings)
        codes = {finding.code for finding in findings}
        if codes & FATAL:
            advice = "repair the release, or copy it again"
        elif "unknown-enum" in codes and not extend:
            advice = (
                "keep new numbers with --extend, or load only the rows without errors with "
                "--quarantine"
            )
        else:
            advice = "repair the release, or load only the rows without errors with --quarantine"
        super().__init__(
            f"{release.place} has {count(n, 'error')}; nothing was loaded; "
            f"{advice}:\n{describe(findings)}"
        )

"""The tables of a release: whether each can be read, and which columns it has."""

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

if TYPE_CHECKING:
    import pyarrow as pa

_LOG: Final = logging.getLogger(__name__)

_USUAL_MEMORY: Final = 250_000_000
_MUCH_MEMORY: Final = 400_000_000 - _USUAL_MEMORY
"""Bytes that a page may take before a reader is told of it."""


def check_tables(source: Source, findings: Findings) -> dict[str, tuple[Column, ...]]:
    """Find what is wrong or odd about the tables, and return the columns of each.

    Raises
    ------
    InvalidReleaseError
        If a table or a column is missing, unreadable or of an impossible type.
    """
    columns = {}
    for table in TABLES:
        file = source.file(table)
        if absent := source.absent(table):
            findings.add("missing-file", file, 1, [absent])
            continue
        try:
            schema = schema_of(source, table)
            _announce_memory(source, table, findings)
        except InvalidReleaseError as error:
            for finding in error.findings:
                findings.add(finding.code, file, finding.n, finding.examples)
            continue
        columns[table] = _check_columns(source, table, schema, findings)
    fatal = [finding for finding in findings.report() if finding.code in FATAL]
    if fatal:
        raise InvalidReleaseError(source, fatal)
    return columns


def _announce_memory(source: Source, table: str, findings: Findings) -> None:
    """Report much memory that reading needs before it is needed, too."""
    with readable(source, table):
        n_bytes = source.n_bytes_held(table)
    if n_bytes > _MUCH_MEMORY:
        file = source.file(table)
        example = f"{file}: reading it takes about {(n_bytes + _USUAL_MEMORY) / 1e9:.1f} GB"
        announced = Findings()
        announced.add("large-pages", file, 1, [example])
        findings.add("large-pages", file, 1, [example])
        _LOG.warning(describe(announced.report()))


def _check_columns(
    source: Source, table: str, schema: "pa.Schema", findings: Findings
) -> tuple[Column, ...]:
    file = source.file(table)
    expected = {column.name: column for column in COLUMNS[table]}
    for name, column in expected.items():
        found = schema.names.count(name)
        if not found and name in OPTIONAL:
            findings.add("no-notes", file, 1, [f"{file} has no column {name}"])
        elif not found:
            findings.add("missing-column", file, 1, [f"{file} has no column {name}"])
        elif found > 1:
            findings.add("wrong-type", file, 1, [f"{file} has {found} columns {name}"])
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
    """Raise what keeps a table from being read as an error that names it and what to do."""
    import pyarrow as pa

    file = source.file(table)
    try:
        yield
    except (MemoryError, OSError, pa.ArrowException, UnicodeDecodeError) as error:
        what = shortage(error)
        if what is None and isinstance(error, OSError) and error.errno is not None:
            what = f"{os.strerror(error.errno)}; try again when that is resolved"
        if what is not None:
            # The system's trouble, not the file's.
            raise ReleaseError(f"cannot read {file} of {source.place}: {what}") from error
        first = database.first_line(error)
        unreadable = Findings()
        unreadable.add("unreadable-file", file, 1, [f"{file}: {first}"])
        raise InvalidReleaseError(source, unreadable.report()) from error


class InvalidReleaseError(ReleaseError):
    """A release with errors, all of which are in `findings`."""

    def __init__(self, release: Source, findings: list[Finding], *, extend: bool = False) -> None:
        self.findings = findings
        n = sum(finding.n for finding in findings)
        codes = {finding.code for finding in findings}
        if codes & FATAL:
            advice = "repair the release, or copy it again"
        elif "unknown-enum" in codes and not extend:
            advice = (
                "keep new numbers with --extend, or load only the rows that are sound with "
                "--quarantine"
            )
        else:
            advice = "repair the release, or load only the rows that are sound with --quarantine"
        super().__init__(
            f"{release.place} has {n:,} {'error' if n == 1 else 'errors'}, nothing was loaded; "
            f"{advice}:\n{describe(findings)}"
        )

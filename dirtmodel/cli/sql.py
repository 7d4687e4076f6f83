"""The command that runs ad hoc SQL."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output, results
from dirtmodel.errors import UsageError


@click.command(cls=Command)
@click.argument("statement", required=False)
@click.option(
    "-f",
    "--file",
    "script",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="Read the statement from FILE.",
)
@click.option(
    "-p",
    "--param",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="The value of :NAME in the statement; may be repeated.",
)
@click.option(
    "--tables",
    is_flag=True,
    help="List the tables, views and columns of the database or, if it does not exist, of a new "
    "one.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Stop the statement after this time; 0 means never.",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Allow a Postgres role with powers over the server; the statement can use them.",
)
@options.database
@results()
def sql(
    db: str,
    statement: str | None,
    script: Path | None,
    parameters: tuple[tuple[str, str], ...],
    *,
    tables: bool,
    timeout: float,
    trust: bool,
    output: Output,
) -> None:
    """Print the result of one SQL statement that only reads.

    Without STATEMENT, or if it is -, the statement is read from stdin. It may contain :name for the
    values of -p. It cannot change the database, read other files or run programs. Tables contain
    DIRT's numbers for steps, displays and verdicts; the views that end in _labels contain their
    names. The format parquet contains pictures, a table describes them, and other formats refuse
    them.

    Example: dirtmodel sql "SELECT sub, verdict FROM review JOIN target ON target.id = target_id
    WHERE rater = :who" -p who ada --format csv
    """
    if sum((statement is not None, script is not None, tables)) > 1:
        raise UsageError("STATEMENT, -f FILE and --tables cannot be used together; use one of them")
    if tables:
        from dirtmodel import database
        from dirtmodel.sql.catalogue import Described, describe

        url = database.parse_url(db)
        if database.is_sqlite(url) and not Path(url.database or "").exists():
            output.emit_rows(Described._fields, describe())
        else:
            with database.connect(url) as connection:
                output.emit_rows(Described._fields, describe(connection))
        return
    from dirtmodel.sql import ask

    # Arrow's default allocator does not return memory. Arrow reads this setting on its import.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    text = _text(statement, script)
    with ask(db, text, _by_name(parameters), timeout=timeout or None, trust=trust) as answer:
        output.emit_rows(answer.columns, answer.rows)


def _text(statement: str | None, script: Path | None) -> str:
    if statement not in {None, "-"}:
        return str(statement)
    if statement is None and script is None and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError(
            "there is no statement; write one, for example: dirtmodel sql 'SELECT * FROM target', "
            "or list the tables: dirtmodel sql --tables"
        )
    return _read(script or Path("-"))


def _read(script: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(script) == "-" else script.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {script}: {error.strerror}; check -f") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{script} is not UTF-8 text; save it as UTF-8") from error


def _by_name(parameters: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parameters:
        key = name.removeprefix(":")
        if key in values:
            raise click.UsageError(f"-p {key} is given twice")
        values[key] = value
    return values

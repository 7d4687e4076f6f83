"""The command that compares two releases."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dirtmodel.cli import columns, options, rules, selection
from dirtmodel.cli.command import Command

if TYPE_CHECKING:
    from dirtmodel.differences import Differences


@click.command(cls=Command)
@click.argument("old", metavar="OLD", type=options.PLACE)
@click.argument("new", metavar="NEW", type=options.PLACE)
@click.option(
    "--table",
    type=click.Choice(["session", "image", "rating", "coordinate"]),
    help="Show the rows of this table that differ.",
)
@click.option("--verdicts", is_flag=True, help="Show whose verdict changed, and why.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=options.named_file,
    metavar="FILE",
    help="Write one self-contained page with old and new pictures side by side.",
)
@click.option(
    "--pixels/--no-pixels",
    default=True,
    show_default=True,
    help="Read pictures whose bytes differ, to find those with equal pixels (re-encoded).",
)
@options.migration
@selection.targets
@rules.exclusion_rule
@options.results
def diff(
    old: str,
    new: str,
    *,
    table: str | None,
    verdicts: bool,
    html: Path | None,
    pixels: bool,
    migration: Path | None,
    format_: str | None,
    path: Path | None,
    **rule: Any,
) -> int:
    """Report what changed between two releases.

    OLD and NEW are databases (SQLite files or URLs, of any revision) or release folders. The report
    counts the rows, pictures and verdicts that differ, and names differences of the schema; --table
    and --verdicts list them, and --format json contains everything. The exit code is 0 when nothing
    differs in what was asked for, 1 when something does. Verdicts follow the rule that the options
    describe, as in `dirtmodel exclusions`, with the same defaults; conditions such as --step and
    --sub concern verdicts only.

    Example: dirtmodel diff release-3.0.db release-3.1.db --verdicts
    """
    from dirtmodel import differences
    from dirtmodel.queries.exclusions import Exclusions

    if table and verdicts:
        raise click.UsageError("--table and --verdicts do not go together; use one at a time")
    with differences.diff(old, new, rule=Exclusions(**rule), pixels=pixels) as found:
        # At least one side has what a condition names.
        found.rule.require(found.old.session.connection(), found.new.session.connection())
        if migration is not None:
            drift = found.new.extension.less(found.old.extension)
            options.write_migration(drift, found.new.label or found.new.place, migration)
            if not (table or verdicts or html or path or format_):
                return int(bool(drift))
        if html is not None:
            _write_page(found, html)
            if not (table or verdicts or path or format_):
                return int(found.are_there())
        if table:
            return _emit_table(found, table, format_, path)
        if verdicts:
            return _emit_verdicts(found, format_, path)
        _emit_all(found, format_, path)
        return int(found.are_there())


def _emit_table(found: "Differences", table: str, format_: str | None, path: Path | None) -> int:
    from dirtmodel.differences import report

    rows = report.flat_rows(table, found.rows(table))
    options.emit_rows(report.row_columns(table), rows, format_, path)
    return int(bool(found.counts[table].n_differences))


def _emit_verdicts(found: "Differences", format_: str | None, path: Path | None) -> int:
    from dirtmodel.differences import report

    changes = list(found.verdicts())
    names = report.verdict_columns(found.rule)
    options.emit_rows(names, report.verdict_rows(changes), format_, path)
    return int(bool(changes))


def _emit_all(found: "Differences", format_: str | None, path: Path | None) -> None:
    import sys

    from dirtmodel import outputs
    from dirtmodel.differences import report

    chosen = outputs.format_of(path, format_)
    if chosen != "json":
        options.emit_rows(report.COUNT_COLUMNS, report.count_rows(found), format_, path)
        if chosen == "table" and path is None:
            for line in report.lines(found):
                click.echo(line)
        return
    columns.refuse()
    if path is None:
        report.write_json(found, sys.stdout.buffer)
    else:
        with options.destination(path) as file:
            report.write_json(found, file)


def _write_page(found: "Differences", path: Path) -> None:
    from dirtmodel.differences.page import write

    with options.destination(path) as file:
        write(found, file)
    options.warn(f"Wrote {path}.")

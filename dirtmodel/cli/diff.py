"""The command that compares two releases."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dirtmodel.cli import options, rules, selection
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output, results, write_migration

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
@click.option(
    "--verdicts", is_flag=True, help="Show the scans whose verdict changed, and the rows behind it."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a single HTML page with old and new pictures side by side.",
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
@results()
def diff(
    old: str,
    new: str,
    *,
    table: str | None,
    verdicts: bool,
    html: Path | None,
    pixels: bool,
    migration: Path | None,
    output: Output,
    **rule: Any,
) -> int:
    """Report what changed between two releases.

    OLD and NEW are databases (SQLite files or URLs, of any revision) or release folders. The report
    counts the rows, pictures and verdicts that differ, and names differences of the schema. --table
    and --verdicts list the differences; --format json contains everything. The exit code is 1 if
    there is a difference of the requested kind, else 0. Verdicts follow an exclusion rule, with the
    options and defaults of `dirtmodel exclusions`. Conditions such as --step and --sub apply to
    verdicts only.

    Example: dirtmodel diff release-3.0.db release-3.1.db --verdicts
    """
    from dirtmodel import differences
    from dirtmodel.queries.exclusions import Exclusions

    if table and verdicts:
        raise click.UsageError("--table and --verdicts cannot be used together; use one of them")
    output.refuse_existing(html, migration)
    shows_rows = bool(table or verdicts or output.path or output.requested_format)
    with differences.diff(old, new, rule=Exclusions(**rule), pixels=pixels) as found:
        # Every value of a condition must occur on one side at least.
        found.rule.require(found.old.session.connection(), found.new.session.connection())
        if migration is not None:
            drift = found.new.extension.less(found.old.extension)
            write_migration(drift, found.new.label or found.new.place, migration, output)
            if not (shows_rows or html):
                return int(bool(drift))
        if html is not None:
            _write_page(found, html, output)
            if not shows_rows:
                return int(found.are_there())
        if table:
            return _emit_table(found, table, output)
        if verdicts:
            return _emit_verdicts(found, output)
        _emit_all(found, output)
        return int(found.are_there())


def _emit_table(found: "Differences", table: str, output: Output) -> int:
    from dirtmodel.differences import report

    rows = report.flat_rows(table, found.rows(table))
    output.emit_rows(report.row_columns(table), rows)
    return int(bool(found.counts[table].n_differences))


def _emit_verdicts(found: "Differences", output: Output) -> int:
    from dirtmodel.differences import report

    changes = list(found.verdicts())
    names = report.verdict_columns(found.rule)
    output.emit_rows(names, report.verdict_rows(changes))
    return int(bool(changes))


def _emit_all(found: "Differences", output: Output) -> None:
    import sys

    from dirtmodel.differences import report

    if output.format != "json":
        output.emit_rows(report.COUNT_COLUMNS, report.count_rows(found))
        if output.format == "table" and output.path is None:
            for line in report.lines(found):
                click.echo(line)
        return
    output.refuse_columns()
    if output.path is None:
        report.write_json(found, sys.stdout.buffer)
    else:
        with output.destination(output.path) as file:
            report.write_json(found, file)


def _write_page(found: "Differences", path: Path, output: Output) -> None:
    from dirtmodel.differences.page import write

    with output.destination(path) as file:
        write(found, file)
    output.warn(f"Wrote {path}.")

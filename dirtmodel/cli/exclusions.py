"""The command that lists the scans to leave out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dirtmodel.cli import options, rules, selection
from dirtmodel.cli.output import Output, results
from dirtmodel.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import orm

    from dirtmodel.queries.exclusions import Exclusions
    from dirtmodel.queries.results import Rows
    from dirtmodel.queries.rules import Status

_BIDS_FILTER: Final = "bids-filter"
_SAME_IN_EVERY_ROW: Final = frozenset({"rule", "release"})
"""Columns that a table leaves out to save width; the message below it has their values."""
_KIT_OPTIONS: Final = frozenset({"kit", "db", "columns", "format_", "path", "replace", "quiet"})
"""The options that can be used with --kit."""


@click.command(cls=rules.RuleCommand)
@selection.targets
@rules.exclusion_rule
@rules.status
@click.option("--kit", is_flag=True, help="Print exactly the starter kit's table: sub, task, run.")
@options.database
@results(
    _BIDS_FILTER,
    help_="Write to FILE instead of stdout; a .json sidecar is written beside a .tsv. "
    "With --format bids-filter, FILE may be a folder (or end in /) for one file per participant.",
)
@click.pass_context
def exclusions(
    ctx: click.Context,
    /,
    *,
    db: str,
    kit: bool,
    output: Output,
    **rule: Any,
) -> None:
    """List the scans to leave out of an analysis, and the evidence.

    Unreviewed does not mean passed: --status all lists excluded, kept and unreviewed scans.

    Example: dirtmodel exclusions --step fmap_coregistration --rule majority -o excluded.tsv
    """
    from dirtmodel.queries.crossed import Crossed
    from dirtmodel.queries.exclusions import Exclusions
    from dirtmodel.queries.kit import KitExclusions

    given = {
        name
        for name in ctx.params
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    if kit:
        _check_kit(ctx, given, output)
        with options.opened(db) as session:
            _emit(KitExclusions().run(session), output)
        return
    query = Exclusions(**rule)
    if output.requested_format == _BIDS_FILTER and "status" in given:
        raise UsageError(
            "--status cannot be used with --format bids-filter, which selects the runs that "
            "remain; leave it out"
        )
    with options.opened(db) as session:
        query.require(session.connection())
        if output.requested_format == _BIDS_FILTER:
            _emit_filters(query, session, output)
        else:
            rows, n = query.run_counted(session)
            _emit(rows, output)
            output.warn(_summary(query, n, session))
        (crossed,) = Crossed(**query.targets()).run(session)
    if any(crossed):
        output.warn(
            f"Left out: {crossed.verdicts_on_click_steps:,} verdicts on click steps and "
            f"{crossed.clicks_on_verdict_steps:,} clicks on verdict steps."
        )


def _summary(query: "Exclusions", n: "dict[Status, int]", session: "orm.Session") -> str:
    """Return a sentence with the numbers of excluded and reviewed units."""
    from dirtmodel.queries.inventory import RELEASE_LABEL
    from dirtmodel.queries.rules import Status

    label = session.scalar(RELEASE_LABEL)
    return (
        f"Excluded {n[Status.EXCLUDED]:,} of {sum(n.values()) - n[Status.UNREVIEWED]:,} reviewed "
        f"{query.level}s{f' of release {label}' if label else ''}; {n[Status.UNREVIEWED]:,} have "
        f"no review. Rule: {query.rule_text}. The published rule is --kit."
    )


def _check_kit(ctx: click.Context, given: set[str], output: Output) -> None:
    """Reject options that the kit's own rule would ignore."""
    ignored = [param.opts[0] for param in ctx.command.params if param.name in given - _KIT_OPTIONS]
    if ignored:
        raise UsageError(
            f"--kit is the kit's own rule and cannot be used with {', '.join(ignored)}; "
            "leave out one or the other"
        )
    if output.requested_format == _BIDS_FILTER:
        raise UsageError(
            "--kit has no sessions, which --format bids-filter needs; use instead: "
            "--step fmap_coregistration --format bids-filter"
        )


def _emit(rows: "Rows[Any]", output: Output) -> None:
    """Write the rows and, beside a .tsv file, its sidecar."""
    from dirtmodel import outputs
    from dirtmodel.queries.results import Rows
    from dirtmodel.queries.sidecar import sidecar

    names = output.chosen(rows.columns)
    if output.format == "table" and names == rows.columns:
        names = [name for name in names if name not in _SAME_IN_EVERY_ROW]
    rows = Rows(rows.row_type, rows, names)
    path = output.path
    if path is None or path.suffix.lower() != ".tsv" or output.format != "tsv":
        output.emit(rows)
        return
    steps = {row.step for row in rows} if "step" in rows.columns else set()
    with output.destination(path.with_suffix(".json")) as beside:
        beside.write((outputs.dumps(sidecar(rows.columns, steps), indent=2) + "\n").encode())
        output.emit(rows)


def _emit_filters(query: "Exclusions", session: "orm.Session", output: Output) -> None:
    """Write the filters, and list on stderr the exclusions that they cannot express."""
    from dirtmodel.queries.bids_filters import BidsFilters, limits

    found = BidsFilters(query).run(session)
    filters = {one.sub: one.filter for one in found if one.filter is not None}
    if output.path is not None and output.is_folder:
        _fill(output.path, filters, [one.sub for one in found if one.filter is None], output)
    else:
        output.emit_json(filters)
    for line in limits(found):
        output.warn(line)


def _fill(folder: Path, filters: dict[str, Any], without: list[str], output: Output) -> None:
    """Write a file per participant, and name the older files of those without a filter."""
    from dirtmodel.outputs import make_folder

    make_folder(folder)
    files = {sub: folder / f"sub-{sub}.json" for sub in filters}
    output.refuse_existing(*files.values())
    for sub, file in files.items():
        replace(output, path=file).emit_json(filters[sub])
    stale = [name for sub in without if (folder / (name := f"sub-{sub}.json")).exists()]
    if stale:
        output.warn(
            f"{folder} still contains older files of participants without a filter: "
            f"{', '.join(stale)}"
        )

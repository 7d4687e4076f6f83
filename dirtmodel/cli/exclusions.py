"""The command that lists the scans to leave out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dirtmodel.cli import columns, options, rules, selection
from dirtmodel.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import orm

    from dirtmodel.queries.exclusions import Exclusions
    from dirtmodel.queries.results import Rows
    from dirtmodel.queries.rules import Exclusion

_BIDS_FILTER: Final = "bids-filter"
_SAME_IN_EVERY_ROW: Final = frozenset({"rule", "release"})
"""Shown once below a table, whose lines are long enough."""
_KIT_TAKES: Final = frozenset({"kit", "db", "format_", "path", "quiet"})


def _is_folder(path: str) -> bool:
    return path.endswith("/") or Path(path).is_dir()


def _file_or_folder(ctx: click.Context, param: click.Parameter, path: str | None) -> Any:
    """Leave a folder to the command, which alone knows what it writes there."""
    return path if path is not None and _is_folder(path) else options.named_file(ctx, param, path)


@click.command(cls=rules.RuleCommand)
@selection.targets
@rules.exclusion_rule
@rules.status
@click.option("--kit", is_flag=True, help="Exactly the starter kit's table: sub, task, run.")
@options.database
@columns.option
@options.output_format("bids-filter")
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(),
    callback=_file_or_folder,
    help="Write to FILE instead of stdout; a .tsv gets its .json sidecar beside it. "
    "With --format bids-filter, a folder (or a name that ends in /) gets a file per participant.",
)
@options.replace
@options.quiet
@click.pass_context
def exclusions(
    ctx: click.Context,
    /,
    *,
    db: str,
    kit: bool,
    format_: str | None,
    path: str | None,
    quiet: bool,
    **rule: Any,
) -> None:
    """List the scans to leave out of an analysis, and the evidence.

    Not reviewed is not passed: --status all shows the unreviewed beside the excluded and the kept.

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
        _check_kit(ctx, given, format_)
        with options.opened(db) as session:
            _emit(KitExclusions().run(session), format_, path)
        return
    query = Exclusions(**rule)
    if format_ == _BIDS_FILTER and "status" in given:
        raise UsageError(
            "--status does not go with --format bids-filter, which names what remains; leave it out"
        )
    with options.opened(db) as session:
        query.require(session.connection())
        if format_ == _BIDS_FILTER:
            _emit_filters(query, session, path, quiet=quiet)
        else:
            rows, summary = _judged(query, session)
            _emit(rows, format_, path)
            if not quiet:
                options.warn(summary)
        (crossed,) = Crossed(**query.targets()).run(session)
    if any(crossed) and not quiet:
        options.warn(
            f"Left out: {crossed.verdicts_on_click_steps:,} verdicts on click steps and "
            f"{crossed.clicks_on_verdict_steps:,} clicks on verdict steps."
        )


def _judged(query: "Exclusions", session: "orm.Session") -> "tuple[Rows[Exclusion], str]":
    """Return the rows that are asked for, and a sentence on those of all statuses."""
    import collections
    import dataclasses

    from dirtmodel.queries.results import Rows
    from dirtmodel.queries.rules import Status

    every = dataclasses.replace(query, status=None).run(session)
    chosen = [row._replace(rule=query.rule_text) for row in every if row.status in query.statuses]
    n = collections.Counter(row.status for row in every)
    n_reviewed = len(every) - n[Status.UNREVIEWED]
    summary = (
        f"Excluded {n[Status.EXCLUDED]:,} of {n_reviewed:,} reviewed {query.level}s"
        f"{f' of release {every[0].release}' if every else ''}; {n[Status.UNREVIEWED]:,} have no "
        f"review. Rule: {query.rule_text}. The published rule is --kit."
    )
    return Rows(every.row_type, chosen, every.columns), summary


def _check_kit(ctx: click.Context, given: set[str], format_: str | None) -> None:
    """Reject options that the kit's own rule would ignore."""
    ignored = [param.opts[0] for param in ctx.command.params if param.name in given - _KIT_TAKES]
    if ignored:
        raise UsageError(
            f"--kit is the kit's own rule and does not go with {', '.join(ignored)}; "
            "leave out one or the other"
        )
    if format_ == _BIDS_FILTER:
        raise UsageError(
            "--kit has no sessions, which --format bids-filter needs; use instead: "
            "--step fmap_coregistration --format bids-filter"
        )


def _emit(rows: "Rows[Any]", format_: str | None, path: str | None) -> None:
    """Write the rows, and a tsv's sidecar with it."""
    from dirtmodel import outputs
    from dirtmodel.queries.results import Rows
    from dirtmodel.queries.sidecar import sidecar

    place = None if path is None else Path(path)
    chosen = _chosen(format_, path)
    names = columns.chosen(rows.columns)
    if chosen == "table" and names == rows.columns:
        names = [name for name in names if name not in _SAME_IN_EVERY_ROW]
    rows = Rows(rows.row_type, rows, names)
    if place is None or place.suffix.lower() != ".tsv" or chosen != "tsv":
        options.emit(rows, format_, place)
        return
    steps = {row.step for row in rows} if "step" in rows.columns else set()
    with options.destination(place.with_suffix(".json")) as beside:
        beside.write((outputs.dumps(sidecar(rows.columns, steps), indent=2) + "\n").encode())
        options.emit(rows, format_, place)


def _chosen(format_: str | None, path: str | None) -> str:
    from dirtmodel import outputs

    return outputs.format_of(None if path is None else Path(path), format_)


def _emit_filters(
    query: "Exclusions", session: "orm.Session", path: str | None, *, quiet: bool
) -> None:
    """Write the filters, and list on stderr what they cannot express."""
    from dirtmodel.outputs import make_folder, refuse_existing
    from dirtmodel.queries.bids_filters import BidsFilters, limits

    found = BidsFilters(query).run(session)
    filters = {one.sub: one.filter for one in found if one.filter is not None}
    if path is not None and _is_folder(path):
        folder = Path(path)
        make_folder(folder)
        files = {sub: folder / f"sub-{sub}.json" for sub in filters}
        refuse_existing(list(files.values()), replace=options.may_replace())
        for sub, file in files.items():
            options.emit_json(filters[sub], file)
        stale = [
            one.sub
            for one in found
            if one.filter is None and (folder / f"sub-{one.sub}.json").exists()
        ]
        if stale:
            options.warn(
                "No filter was written for these, whose older files are still in "
                f"{folder}: " + ", ".join(f"sub-{sub}.json" for sub in stale)
            )
    else:
        options.emit_json(filters, None if path is None else Path(path))
    if not quiet:
        for line in limits(found):
            options.warn(line)

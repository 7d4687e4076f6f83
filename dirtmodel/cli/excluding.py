"""The command that tells which scans to leave out."""

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dirtmodel.cli import options
from dirtmodel.errors import OutputError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import orm

    from dirtmodel.queries.exclusions import Exclusions
    from dirtmodel.queries.results import Rows

    _Choice = click.Choice[Any]
else:
    # Generic in recent versions of click only.
    _Choice = click.Choice

_BIDS_FILTER: Final = "bids-filter"
_KIT_TAKES: Final = frozenset({"kit", "db", "format_", "path", "quiet"})


class _Rule(_Choice):
    """A rule; `min-fails` may bring its number along."""

    name = "rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Let `min-fails N` pass as it is."""
        if re.fullmatch(r"min-fails[ =:]+\d+", str(value)):
            return value
        return super().convert(value, param, ctx)


class _RuleCommand(click.Command):
    """Takes `--rule min-fails 2` without quotes, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the number to its rule before the options are read."""
        joined: list[str] = []
        for before, argument in itertools.pairwise(["", *args]):
            is_rule = joined[-2:] == ["--rule", "min-fails"] or before == "--rule=min-fails"
            if is_rule and argument.isdecimal():
                joined[-1] += f" {argument}"
            else:
                joined.append(argument)
        return super().parse_args(ctx, joined)


@click.command(cls=_RuleCommand)
@options.steps
@click.option(
    "--rule",
    type=_Rule(["any-fail", "majority", "unanimous", "min-fails"]),
    default="any-fail",
    show_default=True,
    metavar="RULE",
    help="How verdicts make an image bad (fmap_coregistration, dtifit): any-fail, majority, "
    "unanimous, or min-fails N.",
)
@click.option("--min-fails", type=int, metavar="N", help="The N of --rule min-fails N.")
@click.option(
    "--unsure",
    type=click.Choice(["pass", "fail", "ignore"]),
    default="ignore",
    show_default=True,
    help="What an UNSURE counts as.",
)
@click.option(
    "--min-clicks",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Clicks that make a review bad (mask, spatial_normalization, surface_localization).",
)
@click.option(
    "--min-raters",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Raters whose reviews must be bad; above 1 only named raters count.",
)
@click.option("--latest", is_flag=True, help="Only each rater's latest review of an image.")
@click.option(
    "--source-data-issue", is_flag=True, help="Also exclude where the raw data were flagged."
)
@click.option(
    "--level",
    type=click.Choice(["target", "scan", "session", "participant"]),
    default="scan",
    show_default=True,
    help="What is excluded as a whole.",
)
@click.option(
    "--images",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Bad images that a target needs.",
)
@click.option(
    "--status",
    type=click.Choice(["excluded", "kept", "unreviewed", "partial", "all"]),
    multiple=True,
    default=["excluded"],
    show_default=True,
    help="Which rows to give; may be repeated.",
)
@click.option("--kit", is_flag=True, help="Exactly the starter kit's table: sub, task, run.")
@options.database
@options.output_format("bids-filter")
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    help="Write to FILE instead of stdout; a .tsv gets its .json sidecar beside it. "
    "With --format bids-filter, a folder (or a name that ends in /) gets a file per participant.",
)
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
    """Tell which scans to leave out of an analysis, and on what evidence.

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
    if "all" in rule["status"]:
        rule["status"] = None
    query = Exclusions(**rule)
    if format_ == _BIDS_FILTER and "status" in given:
        raise UsageError(
            "--status does not go with --format bids-filter, which names what remains; leave it out"
        )
    with options.opened(db) as session:
        if format_ == _BIDS_FILTER:
            _emit_filters(query, session, path, quiet=quiet)
        else:
            _emit(query.run(session), format_, path)
        (crossed,) = Crossed(query.steps).run(session)
    if any(crossed) and not quiet:
        options.warn(
            f"Left out: {crossed.verdicts_on_click_steps:,} verdicts on click steps and "
            f"{crossed.clicks_on_verdict_steps:,} clicks on verdict steps."
        )


def _check_kit(ctx: click.Context, given: set[str], format_: str | None) -> None:
    """The kit's table knows no other rule; nobody shall believe that it heeded one."""
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
    from dirtmodel.queries.sidecar import sidecar

    place = None if path is None else Path(path)
    if (
        place is None
        or place.suffix.lower() != ".tsv"
        or outputs.format_of(place, format_) != "tsv"
    ):
        options.emit(rows, format_, place)
        return
    with outputs.destination(place.with_suffix(".json")) as beside:
        beside.write((outputs.dumps(sidecar(rows.columns), indent=2) + "\n").encode())
        options.emit(rows, format_, place)


def _emit_filters(
    query: "Exclusions", session: "orm.Session", path: str | None, *, quiet: bool
) -> None:
    """Write the filters, and say on stderr what they cannot say."""
    from dirtmodel.queries.bids_filters import BidsFilters, limits

    found = BidsFilters(query).run(session)
    filters = {one.sub: one.filter for one in found if one.filter is not None}
    if path is not None and (path.endswith("/") or Path(path).is_dir()):
        folder = _made_folder(Path(path))
        for sub, chosen in filters.items():
            options.emit_json(chosen, folder / f"sub-{sub}.json")
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


def _made_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {path}: {error.strerror}; choose another place with -o"
        ) from error
    return path

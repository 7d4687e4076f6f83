"""Commands that answer questions from a database."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options


@click.command()
@options.steps
@click.option(
    "--rule",
    type=click.Choice(["any-fail", "majority", "unanimous", "min-fails"]),
    default="any-fail",
    show_default=True,
    help="How verdicts make an image bad (fmap_coregistration, dtifit).",
)
@click.option("--min-fails", type=int, metavar="N", help="FAILs needed; with --rule min-fails.")
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
@options.results
def exclusions(db: str, *, kit: bool, format_: str | None, path: Path | None, **rule: Any) -> None:
    """Tell which scans to leave out of an analysis, and on what evidence.

    Not reviewed is not passed: --status all shows the unreviewed beside the excluded and the kept.

    Example: dirtmodel exclusions --step fmap_coregistration --rule majority -o excluded.tsv
    """
    from dirtmodel.queries.exclusions import Crossed, Exclusions, KitExclusions

    if kit:
        with options.opened(db) as session:
            options.emit(KitExclusions().run(session), format_, path)
        return
    if "all" in rule["status"]:
        rule["status"] = None
    query = Exclusions(**rule)
    with options.opened(db) as session:
        options.emit(query.run(session), format_, path)
        (crossed,) = Crossed(query.steps).run(session)
    if any(crossed):
        options.warn(
            f"Left out: {crossed.verdicts_on_click_steps:,} verdicts on click steps and "
            f"{crossed.clicks_on_verdict_steps:,} clicks on verdict steps."
        )


@click.command()
@click.option("--step", type=options.STEP, help="Only this step.")
@click.option("--targets", is_flag=True, help="One row per target instead of one per step.")
@options.database
@options.results
def coverage(db: str, *, step: Any, targets: bool, format_: str | None, path: Path | None) -> None:
    """Tell how much has been reviewed, by step or by target.

    An image counts as reviewed when the table that judges its step has a row on it. Not reviewed is
    not passed.

    Example: dirtmodel coverage --step fmap_coregistration --targets
    """
    from dirtmodel.queries.coverage import Coverage

    query = Coverage(step=step)
    with options.opened(db) as session:
        rows: Any = query.run_targets(session) if targets else query.run(session)
        options.emit(rows, format_, path)

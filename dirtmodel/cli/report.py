"""The command that shows the quality control of a release on one page."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options, rules, selection


@click.command(cls=rules.RuleCommand)
@selection.steps
@rules.exclusion_rule
@rules.status
@click.option("--title", help="Heading of the page.  [default: the label of the release]")
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=150,
    show_default=True,
    metavar="N",
    help="The most pictures of excluded scans.",
)
@click.option(
    "--megabytes",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    metavar="MB",
    help="Largest size of the page; the number of pictures is reduced if necessary.",
)
@selection.output("report.html", ".html", what="reports are")
@options.replace
@options.pseudonyms
@options.database
@options.quiet
def report(
    *,
    title: str | None,
    pictures: int,
    megabytes: int,
    path: Path,
    replace: bool,
    pseudonyms: bool | bytes,
    db: str,
    quiet: bool,
    **rule: Any,
) -> None:
    """Write one HTML page that shows the quality control of a release.

    It shows the coverage, the exclusions with their worst pictures, the agreement between raters,
    heat maps of clicks, the reviews per week, findings and a methods paragraph. The page is one
    file, needs no network and no scripts, and can be printed.

    Example: dirtmodel report --step fmap_coregistration --pseudonyms -o report.html
    """
    from dirtmodel import outputs, reporting
    from dirtmodel.queries.exclusions import Exclusions

    outputs.refuse_existing([path], replace=replace)
    with options.opened(db) as session:
        reporting.report(
            session,
            path,
            rule=Exclusions(**rule),
            title=title,
            pseudonyms=pseudonyms,
            pictures=pictures,
            megabytes=megabytes,
            replace=replace,
        )
    if not quiet:
        options.warn(f"Wrote {path}.")

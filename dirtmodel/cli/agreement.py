"""`dirtmodel agreement`."""

from typing import TYPE_CHECKING, Any

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output, results
from dirtmodel.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import orm


@click.command(cls=Command)
@click.option("--step", type=options.STEP, metavar="STEP", help="The step.  [required]")
@click.option(
    "--rater",
    type=click.Choice(["user", "session"]),
    default="user",
    show_default=True,
    help="What counts as a rater: a user, or each session.",
)
@click.option(
    "--tolerance",
    "tolerances",
    type=float,
    multiple=True,
    metavar="PX",
    help="Greatest distance of matched clicks in pixels; may be repeated.  [default: 10, 20, 40]",
)
@click.option(
    "--disagreements",
    is_flag=True,
    help="List the images on which raters disagree, the greatest disagreement first.",
)
@click.option(
    "--by",
    "group",
    type=click.Choice(["display", "slice", "scan", "cohort"]),
    help="Print the headline coefficients per group of images.",
)
@click.option("--methods", is_flag=True, help="Print a paragraph for the methods of a paper.")
@click.option(
    "--prevalence",
    type=click.Choice(["all", "pairable"]),
    default="all",
    show_default=True,
    help="Compute chance agreement from all images, or from those with two ratings or more.",
)
@click.option(
    "--cluster",
    type=click.Choice(["subject", "none"]),
    default="subject",
    show_default=True,
    help="subject: images of a subject are not independent; none: all images are independent.",
)
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    metavar="P",
    help="Level of the intervals.",
)
@click.option(
    "--bootstrap",
    type=int,
    metavar="N",
    help="Take errors from N bootstrap replicates; docs/agreement.md says when to use this.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the bootstrap and of simulated clicks.",
)
@options.pseudonyms
@options.database
@results()
def agreement(
    db: str,
    *,
    pseudonyms: bool | bytes,
    step: Any,
    disagreements: bool,
    group: str | None,
    methods: bool,
    cluster: str,
    tolerances: tuple[float, ...],
    output: Output,
    **settings: Any,
) -> None:
    """Report how well the raters of a step agree, and who differs.

    The table format is a page to read. json has all numbers; the other formats have one coefficient
    per row.

    Example: dirtmodel agreement --step fmap_coregistration --format json -o agreement.json
    """
    from dirtmodel.irr import Coefficient
    from dirtmodel.queries.agreement import Agreement
    from dirtmodel.queries.results import Rows
    from dirtmodel.queries.text.agreement import group_table

    if disagreements + bool(group) + methods > 1:
        raise UsageError(
            "--disagreements, --by and --methods cannot be used together; use one of them"
        )
    with options.opened(db, pseudonyms) as session:
        if step is None:
            raise UsageError(options.missing_step(session))
        query = Agreement(
            step=step,
            tolerances=tolerances or None,
            cluster=None if cluster == "none" else cluster,
            **settings,
        )
        if disagreements:
            output.emit(query.disagreements(session))
            return
        if group:
            rows = query.by(session, group)
            if output.format == "table":
                output.emit_text("\n".join(group_table(rows, group)) + "\n")
            else:
                output.emit(rows)
            return
        result = query.run(session)
        if methods:
            output.emit_text(_methods(session, result))
            return
    match output.format:
        case "table":
            output.emit_text(result.text() + "\n")
        case "json":
            output.emit_json(result.to_dict())
        case _:
            output.emit(Rows(Coefficient, result.coefficients))


def _methods(session: "orm.Session", result: Any) -> str:
    from dirtmodel.queries.inventory import RELEASE_LABEL
    from dirtmodel.queries.text.methods import paragraph

    return paragraph(result, session.scalar(RELEASE_LABEL)) + "\n"

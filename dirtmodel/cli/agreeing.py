"""The command that tells whether the raters agree."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options


@click.command()
@click.option("--step", type=options.STEP, required=True, metavar="STEP", help="Which step.")
@click.option(
    "--rater",
    type=click.Choice(["user", "session"]),
    default="user",
    show_default=True,
    help="Who counts as a rater.",
)
@click.option(
    "--tolerance",
    "tolerances",
    type=float,
    multiple=True,
    metavar="PX",
    help="Greatest distance of matched clicks; may be repeated.  [default: 10, 20, 40]",
)
@click.option("--disagreements", is_flag=True, help="The images to look at instead, worst first.")
@click.option(
    "--prevalence",
    type=click.Choice(["all", "pairable"]),
    default="all",
    show_default=True,
    help="Chance agreement from all images, or from those with two ratings or more.",
)
@click.option(
    "--cluster",
    type=click.Choice(["subject", "none"]),
    default="subject",
    show_default=True,
    help="What is not independent; none: images are.",
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
    help="Errors from N bootstrap replicates; wiser with very few FAILs.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@options.database
@options.results
def agreement(
    db: str,
    *,
    disagreements: bool,
    cluster: str,
    tolerances: tuple[float, ...],
    format_: str | None,
    path: Path | None,
    **asked: Any,
) -> None:
    """Tell whether the raters of a step agree, who is the outlier, and where to look.

    A report to read; as json all of it, in the other formats the coefficients, one per row.

    Example: dirtmodel agreement --step fmap_coregistration --format json -o agreement.json
    """
    from dirtmodel import outputs
    from dirtmodel.queries.agreement.coefficients import Coefficient
    from dirtmodel.queries.agreement.query import Agreement
    from dirtmodel.queries.agreement.report import report
    from dirtmodel.queries.results import Rows

    query = Agreement(
        tolerances=tolerances or None,
        cluster=None if cluster == "none" else cluster,
        **asked,
    )
    with options.opened(db) as session:
        if disagreements:
            options.emit(query.disagreements(session), format_, path)
            return
        result = query.run(session)
    match outputs.format_of(path, format_):
        case "table":
            options.emit_text(report(result) + "\n", path)
        case "json":
            options.emit_json(result.to_dict(), path)
        case _:
            options.emit(Rows(Coefficient, result.coefficients), format_, path)

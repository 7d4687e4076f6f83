"""`dirtmodel consensus`."""

from typing import Any

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output, results
from dirtmodel.errors import UsageError


@click.command(cls=Command)
@click.option("--step", type=options.STEP, metavar="STEP", help="The step.  [required]")
@click.option(
    "--level",
    type=click.Choice(["image", "target", "scan"]),
    default="image",
    show_default=True,
    help="The unit that has one true verdict.",
)
@click.option(
    "--prior",
    type=float,
    default=0.5,
    show_default=True,
    metavar="N",
    help="Number of reviews that each cell of a rater's table starts with; 0: maximum likelihood.",
)
@click.option("--raters", is_flag=True, help="Print the error rates of raters instead.")
@click.option(
    "--next",
    "n_next",
    type=int,
    metavar="N",
    help="Instead, list the N images for which one more review would be most informative.",
)
@options.pseudonyms
@options.database
@results()
def consensus(
    db: str,
    *,
    pseudonyms: bool | bytes,
    step: Any,
    level: str,
    prior: float,
    raters: bool,
    n_next: int | None,
    output: Output,
) -> None:
    """Estimate the true verdicts and each rater's error rates.

    The model is that of Dawid and Skene (1979). json has the raters and the verdicts; the other
    formats have one row per image, target or scan.

    Example: dirtmodel consensus --step fmap_coregistration --level scan -o consensus.csv
    """
    from dirtmodel.queries.consensus import Consensus

    if raters and n_next is not None:
        raise UsageError("--raters and --next cannot be used together; use one of them")
    with options.opened(db, pseudonyms) as session:
        if step is None:
            raise UsageError(options.missing_step(session))
        query = Consensus(step=step, level=level, prior=prior)
        following = None
        if n_next is None:
            result = query.run(session)
        else:
            result, following = query.next_with_run(session, n_next)
    for warning in result.warnings:
        output.warn(f"Warning: {warning}.")
    if following is not None:
        output.emit(following)
    elif raters:
        output.emit(result.rates())
    elif output.format == "json":
        output.emit_json(result.to_dict())
    else:
        schema = result.schema if output.format == "parquet" else None
        output.emit_rows(result.columns, result.rows(), schema=schema)

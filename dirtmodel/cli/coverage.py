"""The command that counts what has been reviewed."""

from typing import Any

import click

from dirtmodel.cli import options, selection
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output, results


@click.command(cls=Command)
@selection.targets
@click.option("--targets", is_flag=True, help="Print one row per target instead of one per step.")
@options.database
@results()
def coverage(db: str, *, targets: bool, output: Output, **conditions: Any) -> None:
    """Count the reviewed images, by step or by target.

    An image counts as reviewed if it has a review that decides about its step: clicks or a verdict.
    Unreviewed does not mean passed.

    Example: dirtmodel coverage --step fmap_coregistration --targets
    """
    from dirtmodel.queries.coverage import Coverage

    query = Coverage(**conditions)
    with options.opened(db) as session:
        query.require(session.connection())
        rows: Any = query.run_targets(session) if targets else query.run(session)
        output.emit(rows)

"""The command that counts what has been reviewed."""

from typing import Any

import click

from dirtmodel.cli import options, selection
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output, results


@click.command(cls=Command)
@selection.targets
@click.option("--targets", is_flag=True, help="One row per target instead of one per step.")
@options.database
@results()
def coverage(db: str, *, targets: bool, output: Output, **conditions: Any) -> None:
    """Count what has been reviewed, by step or by target.

    An image counts as reviewed if it has a review of the kind that decides about its step: clicks
    or a verdict. Not reviewed is not passed.

    Example: dirtmodel coverage --step fmap_coregistration --targets
    """
    from dirtmodel.queries.coverage import Coverage

    query = Coverage(**conditions)
    with options.opened(db) as session:
        query.require(session.connection())
        rows: Any = query.run_targets(session) if targets else query.run(session)
        output.emit(rows)

"""The command that recomputes the derived tables."""

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@options.database
@options.quiet
def refresh(db: str, *, quiet: bool) -> None:
    """Recompute the derived tables after changes by another program.

    These are target, picture, review and tally. A load, an upgrade and a session of dirtmodel.open
    keep them up to date automatically.

    Example: dirtmodel refresh --db dirt.db
    """
    from dirtmodel import database
    from dirtmodel.opening import refresh as refresh_database

    done = refresh_database(db)
    if not quiet:
        options.warn(
            f"Refreshed {database.display(database.parse_url(db))}: {done.n_targets:,} target, "
            f"{done.n_pictures:,} picture, {done.n_reviews:,} review rows."
        )

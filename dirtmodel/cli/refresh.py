"""The command that recomputes the derived tables."""

import click

from dirtmodel.cli import options


@click.command()
@options.database
def refresh(db: str) -> None:
    """Compute the derived tables anew, after another program wrote to the database.

    These are target, picture, review and tally. A load, an upgrade and a session of
    dirtmodel.open keep them up to date by themselves.

    Example: dirtmodel refresh --db dirt.db
    """
    from dirtmodel import database
    from dirtmodel.loading.refresh import refresh as refresh_database

    done = refresh_database(db)
    options.warn(
        f"Refreshed {database.display(database.parse_url(db))}: {done.n_targets:,} target, "
        f"{done.n_pictures:,} picture, {done.n_reviews:,} review rows."
    )

"""The command that brings a database to the current schema."""

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@options.database
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
@options.quiet
def upgrade(db: str, *, dry_run: bool, quiet: bool) -> None:
    """Bring a database of an earlier version to the current schema.

    If the upgrade fails, the database is left unchanged.

    Example: dirtmodel upgrade --db dirt.db
    """
    from dirtmodel import database
    from dirtmodel.loading import upgrading

    url = database.parse_url(db)
    if dry_run:
        click.echo(database.upgrade_sql(url), nl=False)
        return
    before, after = upgrading.upgrade(url)
    if quiet:
        return
    if before == after:
        options.warn(f"{database.display(url)} is already at revision {after}.")
    else:
        options.warn(f"Upgraded {database.display(url)} from revision {before} to {after}.")

"""The command that writes a database as a release."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options, selection
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@click.argument("release", metavar="RELEASE", type=click.Path(file_okay=False, path_type=Path))
@selection.targets
@click.option("--no-users", is_flag=True, help="Leave out the names of raters.")
@options.pseudonyms
@options.database
@options.quiet
def export(
    db: str,
    release: Path,
    *,
    no_users: bool,
    pseudonyms: bool | bytes,
    quiet: bool,
    **targets: Any,
) -> None:
    """Write a database as a release: the four parquet files.

    RELEASE is a new folder for the files in the documented layout. The conditions select images,
    their reviews, and the sessions of these reviews. Loading the release results in an equal
    database.

    Example: dirtmodel export fmap-only --step fmap_coregistration --no-users
    """
    from dirtmodel import exporting

    written = exporting.export(db, release, users=not no_users, pseudonyms=pseudonyms, **targets)
    if not quiet:
        rows = ", ".join(f"{n:,} {table}" for table, n in written.items())
        options.warn(f"Wrote {release}: {rows} rows.")

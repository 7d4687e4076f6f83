"""The command that writes a database out as a release."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options


@click.command()
@click.argument("db", metavar="DB")
@click.argument("release", metavar="RELEASE", type=click.Path(file_okay=False, path_type=Path))
@options.steps
@click.option("--sub", multiple=True, metavar="ID", help="Only this participant; may be repeated.")
@click.option("--no-users", is_flag=True, help="Leave out who the raters were.")
@options.pseudonyms
@options.quiet
def export(
    db: str,
    release: Path,
    *,
    step: Any,
    sub: tuple[str, ...],
    no_users: bool,
    pseudonyms: bool | bytes,
    quiet: bool,
) -> None:
    """Write a database out as a release: the four parquet files in the documented layout.

    RELEASE is a new folder. With --step or --sub only those images, with their reviews and the
    sessions of these. Loading the release gives an equal database.

    Example: dirtmodel export dirt.db fmap-only --step fmap_coregistration --no-users
    """
    from dirtmodel import exporting

    written = exporting.export(
        db, release, steps=step, subs=sub or None, users=not no_users, pseudonyms=pseudonyms
    )
    if not quiet:
        rows = ", ".join(f"{n:,} {table}" for table, n in written.items())
        options.warn(f"Wrote {release}: {rows} rows.")

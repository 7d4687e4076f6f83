"""The command that loads a release."""

import click

from dirtmodel.cli import options, progress
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@options.EXISTING_RELEASE
@options.database
@click.option(
    "--replace",
    is_flag=True,
    help="Replace the loaded release; tables, views and other objects of users are kept.",
)
@click.option("--label", help="Name of the release.  [default: the name of its folder]")
@click.option(
    "--quarantine",
    is_flag=True,
    help="Load the rows without errors; put the others into the table `quarantine`.",
)
@options.extend
@options.quiet
def load(
    release: str,
    db: str,
    *,
    replace: bool,
    label: str | None,
    quarantine: bool,
    extend: bool,
    quiet: bool,
) -> None:
    """Load a release, completely or not at all.

    RELEASE is the folder with the four parquet files, or any folder above it in the documented
    layout. It can also be DIRT's own database, a SQLite file or a URL, which is only read. If the
    release has errors, they are listed and nothing is loaded, unless --quarantine is given. Columns
    that DIRT does not have are kept. Numbers that DIRT does not define need --extend.

    Example: dirtmodel load path/to/release --label 3.0
    """
    from dirtmodel import loading
    from dirtmodel.release.findings import describe

    with progress.of_release("Loading", release, quiet=quiet) as advance:
        loaded = loading.load(
            release,
            db,
            replace=replace,
            label=label,
            quarantine=quarantine,
            extend=extend,
            progress=advance,
        )
    if quiet:
        return
    if loaded.findings:
        options.warn(describe(loaded.findings))
    options.warn(f"{loaded}.")

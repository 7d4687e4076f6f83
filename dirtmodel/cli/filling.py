"""Commands that make, check, describe and migrate databases."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options


@click.command()
@options.EXISTING_RELEASE
@options.database
@click.option(
    "--replace",
    is_flag=True,
    help="Replace the release that is there; what users added to the database is kept.",
)
@click.option("--label", help="Name of the release.  [default: the name of its folder]")
@click.option(
    "--quarantine",
    is_flag=True,
    help="Load the rows that are sound; keep the others in the table `quarantine`.",
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
    layout; or DIRT's own database, a SQLite file or a URL, which is only read. If the release has
    errors, they are listed and nothing is loaded, unless --quarantine is given. Columns that DIRT
    does not have are kept; numbers that it does not define need --extend.

    Example: dirtmodel load path/to/release --label 3.0
    """
    from dirtmodel import database, loading
    from dirtmodel.release.findings import describe

    with _progress("Loading", release, quiet=quiet) as advance:
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
    rows = ", ".join(f"{n:,} {table}" for table, n in loaded.n_rows.items())
    kept = f", {loaded.n_quarantined:,} of them in quarantine" if loaded.n_quarantined else ""
    options.warn(f"Loaded {loaded.label} into {database.display(loaded.url)}: {rows} rows{kept}.")


@click.command()
@options.EXISTING_RELEASE
@options.extend
@options.migration
@options.report_format
@options.quiet
def check(release: str, format_: str, *, extend: bool, migration: Path | None, quiet: bool) -> int:
    """Report what is wrong or odd in a release, without loading it.

    Errors keep rows from being loaded, warnings do not. The exit code is 1 when there are errors.

    Example: dirtmodel check path/to/release --format json
    """
    from dirtmodel.release.examine import examine
    from dirtmodel.release.findings import describe

    with _progress("Checking", release, quiet=quiet) as advance:
        examined = examine(release, advance, extend=extend or migration is not None)
    found = examined.findings
    if format_ == "json":
        options.emit_json([finding._asdict() for finding in found])
    else:
        click.echo(describe(found) if found else "Nothing wrong, nothing odd.")
    has_errors = any(finding.severity == "error" for finding in found)
    if migration is not None and has_errors:
        options.warn(f"The release has errors; {migration} was not written.")
    elif migration is not None:
        options.write_migration(examined.extension, examined.name, migration)
    return int(has_errors)


@click.command()
@options.database
@options.report_format
def info(db: str, format_: str) -> None:
    """Describe a database: release, revision, rows, size, findings.

    Example: dirtmodel info --db dirt.db
    """
    from dirtmodel import database
    from dirtmodel.queries.inventory import inventory

    url = database.parse_url(db)
    with database.connect(url) as connection:
        described = inventory(connection)
        described = {"database": database.display(url), **described}
    if format_ == "json":
        options.emit_json(described)
        return
    for line in _info_lines(described):
        click.echo(line)


@click.command()
@options.database
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
def upgrade(db: str, *, dry_run: bool) -> None:
    """Bring a database of an earlier dirtmodel to this one's schema, in place.

    All or nothing: a failed upgrade leaves the database unchanged.

    Example: dirtmodel upgrade --db dirt.db
    """
    from dirtmodel import database
    from dirtmodel.loading import upgrading

    url = database.parse_url(db)
    if dry_run:
        click.echo(database.upgrade_sql(url), nl=False)
        return
    before, after = upgrading.upgrade(url)
    if before == after:
        options.warn(f"{database.display(url)} is at revision {after} already.")
    else:
        options.warn(f"Upgraded {database.display(url)} from revision {before} to {after}.")


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


@contextlib.contextmanager
def _progress(
    label: str, release: str, *, quiet: bool
) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show a bar on stderr, on a terminal only, that fills with the bytes of pictures."""
    from dirtmodel.release import opened

    stderr = sys.stderr
    if quiet or not stderr.isatty():
        yield None
        return
    with opened(release) as source:
        total = max(source.n_bytes, 1)
    with click.progressbar(
        length=total, label=label, file=stderr, item_show_func=_rate, update_min_steps=1 << 20
    ) as bar:

        def advance(_table: str, _n_rows: int, n_bytes: int) -> None:
            bar.update(n_bytes, bar)

        yield advance
        bar.update(total - bar.pos, bar)


def _rate(bar: Any) -> str | None:
    if bar is None or not bar.time_per_iteration:
        return None
    return f"{1 / bar.time_per_iteration / 1e6:.0f} MB/s"


def _info_lines(described: dict[str, Any]) -> Iterator[str]:
    release = described["release"]
    yield f"database  {described['database']}, {described['size'] / 1e6:,.1f} MB"
    if release:
        yield f"release   {release['label']} from {release['source']}"
        when = f"{release['loaded_at']:%Y-%m-%d %H:%M}"
        yield f"loaded    {when} UTC by dirtmodel {release['version']}"
    else:
        yield "release   not recorded"
    yield f"revision  {described['revision']}"
    yield "rows      " + ", ".join(f"{n:,} {table}" for table, n in described["rows"].items())
    found = described["findings"]
    yield "findings  " + (", ".join(f"{n:,} {code}" for code, n in found.items()) or "none")

"""Commands that make, check, describe and migrate databases."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from dirtmodel.cli import options


@click.command()
@options.EXISTING_RELEASE
@options.database
@click.option("--replace", is_flag=True, help="Take the place of a database that is there.")
@click.option("--label", help="What to call the release.  [default: the name of its folder]")
@click.option(
    "--quarantine",
    is_flag=True,
    help="Load what is sound; keep the rest in the table `quarantine`.",
)
@options.quiet
def load(
    release: str, db: str, *, replace: bool, label: str | None, quarantine: bool, quiet: bool
) -> None:
    """Load a release, completely or not at all.

    RELEASE is the folder with the four parquet files, or any folder above it in the documented
    layout; or DIRT's own database, a SQLite file or a URL, which is only read. Errors in the
    release are listed and nothing is loaded, unless --quarantine is given.

    Example: dirtmodel load path/to/release --label 3.0
    """
    from dirtmodel import database, loading
    from dirtmodel.release.findings import describe

    with _progress("Loading", release, quiet=quiet) as advance:
        loaded = loading.load(
            release, db, replace=replace, label=label, quarantine=quarantine, progress=advance
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
@options.report_format
@options.quiet
def check(release: str, format_: str, *, quiet: bool) -> int:
    """Report what is wrong or odd in a release, without loading it.

    Errors keep rows from being loaded, warnings do not. The exit code is 1 when there are errors.

    Example: dirtmodel check path/to/release --format json
    """
    from dirtmodel.release import check as check_release
    from dirtmodel.release.findings import advise, describe

    with _progress("Checking", release, quiet=quiet) as advance:
        found = check_release(release, advance)
    if format_ == "json":
        options.emit_json([finding._asdict() for finding in found])
    else:
        click.echo(describe(found) if found else "Nothing wrong, nothing odd.")
        if advice := advise(found):
            click.echo(advice)
    return int(any(finding.severity == "error" for finding in found))


@click.command()
@options.database
@options.report_format
def info(db: str, format_: str) -> None:
    """Tell what a database holds: release, revision, rows, size, findings.

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

    All or nothing: a failed upgrade leaves the database as it was.

    Example: dirtmodel upgrade --db dirt.db
    """
    from dirtmodel import database

    url = database.parse_url(db)
    if dry_run:
        click.echo(database.upgrade_sql(url), nl=False)
        return
    before, after = database.upgrade(url)
    if before == after:
        options.warn(f"{database.display(url)} is at revision {after} already.")
    else:
        options.warn(f"Upgraded {database.display(url)} from revision {before} to {after}.")


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

"""The command that describes a database."""

from collections.abc import Iterator
from typing import Any

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output


@click.command(cls=Command)
@options.database
@options.report_format
def info(db: str, format_: str) -> None:
    """Describe a database: release, revision, rows, size, findings.

    Example: dirtmodel info --db dirt.db
    """
    from dirtmodel import database
    from dirtmodel.outputs.values import escape_control
    from dirtmodel.queries.inventory import inventory

    url = database.parse_url(db)
    with database.connect(url) as connection:
        described = inventory(connection)
        described = {"database": database.display(url), **described}
    if format_ == "json":
        Output().emit_json(described)
        return
    for line in _info_lines(described):
        # Escape line breaks in a label or a path.
        click.echo(escape_control(line))


def _info_lines(described: dict[str, Any]) -> Iterator[str]:
    from dirtmodel.outputs import utc_text

    release = described["release"]
    yield f"database  {described['database']}, {described['size'] / 1e6:,.1f} MB"
    if release:
        yield f"release   {release['label']} from {release['source']}"
        yield f"loaded    {utc_text(release['loaded_at'])} UTC by dirtmodel {release['version']}"
    else:
        yield "release   not recorded"
    yield f"revision  {described['revision']}"
    yield "rows      " + ", ".join(f"{n:,} {table}" for table, n in described["rows"].items())
    found = described["findings"]
    yield "findings  " + (", ".join(f"{n:,} {code}" for code, n in found.items()) or "none")

"""The command that examines a release."""

from pathlib import Path

import click

from dirtmodel.cli import options, progress
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@options.EXISTING_RELEASE
@options.extend
@options.migration
@options.replace
@click.option(
    "--decode", is_flag=True, help="Decode every picture, too: slower, and finds missing pixels."
)
@options.report_format
@options.quiet
def check(
    release: str, format_: str, *, extend: bool, decode: bool, migration: Path | None, quiet: bool
) -> int:
    """Report what is wrong or odd in a release, without loading it.

    Errors keep rows from being loaded, warnings do not. The exit code is 1 when there are errors.

    Example: dirtmodel check path/to/release --format json
    """
    from dirtmodel.release.examine import examine
    from dirtmodel.release.findings import describe

    with progress.of_release("Checking", release, quiet=quiet) as advance:
        examined = examine(release, advance, extend=extend or migration is not None, decode=decode)
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

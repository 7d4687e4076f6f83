"""The command that examines a release."""

from pathlib import Path

import click

from dirtmodel.cli import options, progress
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output, write_migration


@click.command(cls=Command)
@options.EXISTING_RELEASE
@options.extend
@options.migration
@options.replace
@click.option(
    "--decode",
    is_flag=True,
    help="Also decode every picture, to find missing pixels; this is slower.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="Show N examples of each kind of finding.",
)
@options.report_format
@options.quiet
def check(
    release: str,
    format_: str,
    *,
    extend: bool,
    decode: bool,
    migration: Path | None,
    replace: bool,
    examples: int,
    quiet: bool,
) -> int:
    """Report errors and oddities of a release, without loading it.

    Rows with errors cannot be loaded; rows with warnings can. docs/findings.md lists all kinds of
    findings and what to do about each. The exit code is 1 if there is an error.

    Example: dirtmodel check path/to/release --format json
    """
    from dirtmodel.release.examine import examine
    from dirtmodel.release.findings import describe, total

    output = Output(replace=replace, quiet=quiet)
    output.refuse_existing(migration)
    with progress.of_release("Checking", release, quiet=quiet) as advance:
        examined = examine(
            release,
            advance,
            extend=extend or migration is not None,
            decode=decode,
            n_examples=examples,
        )
    found = examined.findings
    if format_ == "json":
        output.emit_json([finding._asdict() for finding in found])
    else:
        click.echo(f"{describe(found)}\n{total(found)}" if found else total(found))
    has_errors = any(finding.severity == "error" for finding in found)
    if migration is not None and has_errors:
        output.warn(f"The release has errors; {migration} was not written.")
    elif migration is not None:
        write_migration(examined.extension, examined.name, migration, output)
    return int(has_errors)

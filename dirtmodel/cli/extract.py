"""The command that writes the original pictures."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options, progress, selection
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@selection.images
@selection.output("pictures/")
@options.replace
@options.database
@options.quiet
def extract(*, path: Path, replace: bool, db: str, quiet: bool, **conditions: Any) -> None:
    """Write the original pictures to a folder, byte for byte.

    Images that meet all conditions are written. File names contain the participant, session, task,
    run, step, display, slice and image id. No file is written outside of the folder.

    Example: dirtmodel extract --step mask --sub 10003 -o pictures/
    """
    from dirtmodel.pictures import extract as pictures
    from dirtmodel.queries.images import Images

    images = Images(**conditions)
    with options.opened(db) as session:
        found = images.run(session)
        with progress.of_images("Extracting", len(found), quiet=quiet) as advance:
            written = pictures.extract(session, images, path, replace=replace, progress=advance)
    if not quiet:
        options.warn(f"Extracted {len(written):,} images to {path}")

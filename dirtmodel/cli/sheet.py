"""The command that draws contact sheets."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options, progress, selection
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@selection.images
@click.option("--title", help="Heading of every page.  [default: the conditions]")
@click.option(
    "--size",
    type=click.IntRange(64, 2000),
    default=300,
    show_default=True,
    metavar="PIXELS",
    help="Width of a picture; a page has fewer pictures if they are larger.",
)
@selection.output("failures.png", ".png")
@options.replace
@options.pseudonyms
@options.database
@options.quiet
def sheet(
    *,
    title: str | None,
    size: int,
    path: Path,
    replace: bool,
    db: str,
    pseudonyms: bool | bytes,
    quiet: bool,
    **conditions: Any,
) -> None:
    """Draw pictures side by side on pages, with rings and labels.

    Images that meet all conditions are drawn. A border shows the worst verdict on a picture: red
    for FAIL, yellow for UNSURE, green for PASS. Thin contours are drawn opaque, so that they stay
    visible. Several pages are called failures-01.png, failures-02.png and so on. The cell of a
    damaged picture states the reason.

    Example: dirtmodel sheet --step fmap_coregistration --status excluded -o failures.png
    """
    from dirtmodel.draw.sheets import Layout
    from dirtmodel.pictures import sheet as pictures
    from dirtmodel.queries.images import Images

    images = Images(**conditions)
    with options.opened(db, pseudonyms) as session:
        made = pictures.sheet(session, images, title=title, layout=Layout.of_size(size))
        with progress.of_images("Drawing", len(made), quiet=quiet) as advance:
            written = made.save(path, replace=replace, progress=advance)
    if not quiet:
        where = str(written[0]) + (f" to {written[-1].name}" if written[1:] else "")
        options.warn(f"Drew {len(made):,} images: {where}")

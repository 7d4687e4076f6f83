"""The command that draws a heat map of clicks."""

from pathlib import Path
from typing import Any

import click

from dirtmodel.cli import options, progress, selection
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@click.option("--step", type=options.STEP, required=True, help="A step judged by clicks.")
@click.option("--display", type=options.DISPLAY, required=True, help="The axis of the cut.")
@click.option("--slice", type=int, metavar="N", help="Only this slice.  [default: all]")
@click.option("--rater", metavar="NAME", help="Only this rater's reviews.  [default: all]")
@click.option("--latest", is_flag=True, help="Only each rater's latest review of an image.")
@click.option(
    "--sigma", type=float, default=12.0, show_default=True, help="Width of smoothing in pixels."
)
@selection.output("clicks.png", ".png", stdout=True)
@options.replace
@options.database
@options.quiet
def heatmap(*, path: Path, replace: bool, db: str, quiet: bool, **chosen: Any) -> None:
    """Draw the density of clicks over the mean of the pictures.

    There is one panel for each slice. The scale is in clicks per ring area, a disc of radius 10
    pixels; the axes are in pixels. Pictures of different sizes are scaled to the most frequent
    size, and their number is shown.

    Example: dirtmodel heatmap --step mask --display x --slice 3 -o clicks.png
    """
    from dirtmodel import outputs
    from dirtmodel.draw import encode
    from dirtmodel.pictures import heatmap as pictures
    from dirtmodel.queries.images import Images

    outputs.refuse_existing([path], replace=replace)
    with options.opened(db) as session:
        wanted = Images(step=chosen["step"], display=chosen["display"], slice=chosen["slice"])
        with progress.of_images("Adding up", len(wanted.run(session)), quiet=quiet) as advance:
            drawn = pictures.heatmap(session, **chosen, progress=advance)
    selection.save(encode.png(drawn), path, replace=replace)

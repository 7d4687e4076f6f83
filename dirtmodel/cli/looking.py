"""Commands that show pictures."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import click

from dirtmodel.cli import options
from dirtmodel.entities import SCANS

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _output(example: str, *suffixes: str) -> Callable[[_Command], _Command]:
    """Add the option -o, which is required: pictures are not printed."""
    names = " or ".join(suffixes)
    metavar = "FILE" if suffixes else "FOLDER"

    def check(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path:
        if path is None or str(path) == "-":
            raise click.UsageError(
                f"pictures are not for stdout; say where they go, for example -o {example}"
            )
        if suffixes and path.suffix.lower() not in suffixes:
            raise click.UsageError(f"{path} is no {names} file; write for example -o {example}")
        return path

    return click.option(
        "-o",
        "--output",
        "path",
        metavar=metavar,
        type=click.Path(dir_okay=not suffixes, file_okay=bool(suffixes), path_type=Path),
        callback=check,
        help=f"Write to this {names or 'folder'}{' file' if suffixes else ', made if need be'}.",
    )


_replace: Final = click.option("--replace", is_flag=True, help="Overwrite files that are there.")

_CONDITIONS: Final = (
    click.option("--step", type=options.STEP, multiple=True, help="Only this step."),
    click.option("--sub", multiple=True, metavar="LABEL", help="Only this participant."),
    click.option("--ses", multiple=True, metavar="LABEL", help="Only this scanning session."),
    click.option("--task", multiple=True, metavar="LABEL", help="Only this task."),
    click.option("--run", "run_number", multiple=True, metavar="N", help="Only this run."),
    click.option(
        "--scan",
        type=click.Choice(SCANS, case_sensitive=False),
        multiple=True,
        help="Only this raw acquisition.",
    ),
    click.option("--display", type=options.DISPLAY, multiple=True, help="Only this axis."),
    click.option("--slice", multiple=True, metavar="N", help="Only this slice."),
    click.option(
        "--status",
        type=click.Choice(["excluded", "kept", "unreviewed", "partial"], case_sensitive=False),
        multiple=True,
        help="Only targets of this status by the default rule of `dirtmodel exclusions`; of "
        "excluded ones the bad images.",
    ),
    click.option("--id", multiple=True, metavar="ID", help="Only this image."),
)


def _conditions(command: _Command) -> _Command:
    """Add the options that select images; each may be repeated."""
    for option in reversed(_CONDITIONS):
        command = option(command)
    return command


def _images(conditions: dict[str, Any]) -> Any:
    from dirtmodel.queries.images import Images

    return Images(**{name: value or None for name, value in conditions.items()})


@click.command()
@click.argument("id", type=int)
@_output("fail.png", ".png", ".gif")
@_replace
@options.database
def image(id: int, *, path: Path, replace: bool, db: str) -> None:  # noqa: A002 - the argument's name
    """Draw one picture as the reviewers saw it, with rings where they clicked.

    ID is the image's; `dirtmodel exclusions` names them in image_ids. Rings are gold for one rater,
    of one colour each for several. An animation stays one in a .gif file; in a .png file its frames
    stand side by side.

    Example: dirtmodel image 15820 -o fail.png
    """
    from dirtmodel.viewing import saving, single

    form: Literal["PNG", "GIF"] = "GIF" if path.suffix.lower() == ".gif" else "PNG"
    saving.refuse_existing([path], replace=replace)
    with options.opened(db) as session:
        data = single.annotated(session, id, form=form)
    saving.save(data, path, replace=replace)


@click.command()
@_conditions
@click.option("--title", help="Heading of every page.  [default: what was asked for]")
@click.option(
    "--size",
    type=click.IntRange(64, 2000),
    default=300,
    show_default=True,
    metavar="PIXELS",
    help="Width of a picture on the sheet; larger ones are fewer on a page.",
)
@_output("failures.png", ".png")
@_replace
@options.database
@options.quiet
def sheet(
    *,
    title: str | None,
    size: int,
    path: Path,
    replace: bool,
    db: str,
    quiet: bool,
    **conditions: Any,
) -> None:
    """Lay pictures out on a sheet, with rings and labels; many fill several pages.

    Conditions may be repeated; an image meets them all. A frame shows the worst verdict on a
    picture: red for FAIL, yellow for UNSURE, green for PASS. Thin contours are drawn opaque, so
    that they stay visible. Several pages are called failures-01.png, failures-02.png and so on. A
    damaged picture is an empty cell that says so.

    Example: dirtmodel sheet --step fmap_coregistration --status excluded -o failures.png
    """
    from dirtmodel.draw.sheets import Layout
    from dirtmodel.viewing import sheets

    images = _images(conditions)
    with options.opened(db) as session:
        made = sheets.sheet(images, session, title=title, layout=Layout.of_size(size))
        with _progress("Drawing", len(made), quiet=quiet) as advance:
            written = made.save(path, replace=replace, progress=advance)
    if not quiet:
        where = str(written[0]) + (f" to {written[-1].name}" if written[1:] else "")
        options.warn(f"Drew {len(made):,} images: {where}")


@click.command()
@click.option("--step", type=options.STEP, required=True, help="A step judged by clicks.")
@click.option("--display", type=options.DISPLAY, required=True, help="The axis of the cut.")
@click.option("--slice", type=int, metavar="N", help="Only this slice.  [default: all]")
@click.option("--rater", metavar="NAME", help="Only this rater's reviews.  [default: all]")
@click.option("--latest", is_flag=True, help="Only each rater's latest review of an image.")
@click.option(
    "--sigma", type=float, default=12.0, show_default=True, help="Width of smoothing in pixels."
)
@_output("clicks.png", ".png")
@_replace
@options.database
@options.quiet
def heatmap(*, path: Path, replace: bool, db: str, quiet: bool, **chosen: Any) -> None:
    """Draw where reviewers click, over the mean of the pictures that were reviewed.

    There is one panel for each slice. The scale is in clicks per ring area, a disc of radius 10
    pixels; the axes are in pixels. Pictures of another size than most are scaled, and counted.

    Example: dirtmodel heatmap --step mask --display x --slice 3 -o clicks.png
    """
    from dirtmodel.draw import annotate
    from dirtmodel.queries.images import Images
    from dirtmodel.viewing import heatmaps, saving

    saving.refuse_existing([path], replace=replace)
    with options.opened(db) as session:
        wanted = Images(step=chosen["step"], display=chosen["display"], slice=chosen["slice"])
        with _progress("Adding up", len(wanted.run(session)), quiet=quiet) as advance:
            drawn = heatmaps.heatmap(session, **chosen, progress=advance)
    saving.save(annotate.png_bytes(drawn), path, replace=replace)


@click.command()
@_conditions
@_output("pictures/")
@_replace
@options.database
@options.quiet
def extract(*, path: Path, replace: bool, db: str, quiet: bool, **conditions: Any) -> None:
    """Write the original pictures to a folder, byte for byte as they were loaded.

    Conditions may be repeated; an image meets them all. Files are named by participant, session,
    task, run, step, display, slice and image. Nothing is written outside of the folder.

    Example: dirtmodel extract --step mask --sub 10003 -o pictures/
    """
    from dirtmodel.viewing import extracting

    images = _images(conditions)
    with options.opened(db) as session:
        found = images.run(session)
        with _progress("Extracting", len(found), quiet=quiet) as advance:
            written = extracting.extract(images, path, session, replace=replace, progress=advance)
    if not quiet:
        options.warn(f"Extracted {len(written):,} images to {path}")


@contextlib.contextmanager
def _progress(label: str, n_images: int, *, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Show a bar on stderr, on a terminal only."""
    stderr = sys.stderr
    if quiet or not stderr.isatty():
        yield None
        return
    with click.progressbar(length=n_images, label=label, file=stderr) as bar:
        yield bar.update

"""The command that demonstrates the others."""

import collections
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command
from dirtmodel.cli.output import Output
from dirtmodel.errors import DatabaseError, OutputError

if TYPE_CHECKING:
    from sqlalchemy import orm

_LABEL: Final = "demo"


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("dirtmodel-demo"))
@options.quiet
def demo(folder: Path, *, quiet: bool) -> None:
    """Make a sample release, load it, and answer the main questions.

    The release, its database, three pictures and a report are written to FOLDER, which must be
    empty or hold an earlier demo; the default is dirtmodel-demo.

    Example: dirtmodel demo /tmp/demo
    """
    from dirtmodel import loading, opening, reporting, sample
    from dirtmodel.queries.coverage import Coverage
    from dirtmodel.queries.kit import KitExclusions
    from dirtmodel.release.sources import require_utf8

    output = Output(quiet=quiet)
    db = folder / "dirt.db"
    try:
        require_utf8(str(folder.resolve()))
        _require_empty_folder(folder)
        sample.write_release(folder / "release")
    except OSError as error:
        raise OutputError(
            f"cannot make a demo in {folder}: {error.strerror}; name another folder"
        ) from error
    output.warn(f"Wrote a synthetic release to {folder / 'release'}.")
    loaded = loading.load(folder / "release", db, replace=True, label=_LABEL)
    output.warn(f"Loaded it into {db}; {len(loaded.findings)} kinds of findings were reported.\n")
    with opening.open(db) as session:
        click.echo("How much has been reviewed?  (dirtmodel coverage)\n")
        output.emit(Coverage().run(session))
        click.echo("\nWhich functional runs are to be excluded?  (dirtmodel exclusions --kit)\n")
        output.emit(KitExclusions().run(session))
        _draw(session, folder, output)
    reporting.report(db, folder / "report.html", replace=True)
    output.warn(f"\nEverything on one page:\n  {folder / 'report.html'}  dirtmodel report -o FILE")
    output.warn(f"\nAsk more of it:  export DIRTMODEL_DB={db}")


def _require_empty_folder(folder: Path) -> None:
    """Raise OutputError if the folder contains anything other than an earlier demo."""
    if folder.exists() and any(folder.iterdir()) and not _is_demo(folder / "dirt.db"):
        raise OutputError(
            f"{folder} contains files that are not a finished demo and could be overwritten; "
            "empty it, or name another folder: dirtmodel demo FOLDER"
        )


def _is_demo(db: Path) -> bool:
    import sqlalchemy as sa

    from dirtmodel import database
    from dirtmodel.models import Release

    try:
        # Accept any revision: an earlier version may have made the demo.
        with database.reach(database.parse_url(db)) as connection:
            return connection.scalar(sa.select(Release.label)) == _LABEL
    except (DatabaseError, sa.exc.DBAPIError):
        return False


def _draw(session: "orm.Session", folder: Path, output: Output) -> None:
    """Draw one picture of each kind."""
    from dirtmodel import outputs
    from dirtmodel.draw import encode
    from dirtmodel.models import DisplayMode, Step
    from dirtmodel.pictures.heatmap import heatmap
    from dirtmodel.pictures.image import image
    from dirtmodel.pictures.sheet import sheet
    from dirtmodel.queries.images import Images, Reviews

    clicked = [row.id for row in Images(step=Step.MASK, status="excluded").run(session)]
    raters = collections.defaultdict(set)
    for review in Reviews(clicked, decides=True).run(session):
        if review.n_clicks:
            raters[review.img_id].add(review.rater)
    by_most = max(clicked, key=lambda img_id: (len(raters[img_id]), -img_id))
    image(session, by_most).save(folder / "annotated.png", replace=True)
    failures = Images(step=Step.FMAP_COREGISTRATION, status="excluded")
    sheet(session, failures).save(folder / "failures.png", replace=True)
    clicks = heatmap(session, step=Step.SPATIAL_NORMALIZATION, display=DisplayMode.Y)
    outputs.save(encode.png(clicks), folder / "clicks.png", replace=True)
    output.warn(
        "\nWhat does it look like?\n"
        f"  {folder / 'annotated.png'}  dirtmodel image {by_most} -o FILE\n"
        f"  {folder / 'failures.png'}  "
        "dirtmodel sheet --step fmap_coregistration --status excluded -o FILE\n"
        f"  {folder / 'clicks.png'}  "
        "dirtmodel heatmap --step spatial_normalization --display y -o FILE"
    )

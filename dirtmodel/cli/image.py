"""The command that draws one picture."""

from pathlib import Path

import click

from dirtmodel.cli import options, selection
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@click.argument("id", type=int)
@selection.output("fail.png", ".png", ".gif", ".apng", stdout=True)
@options.replace
@options.pseudonyms
@options.database
def image(id: int, *, path: Path, replace: bool, db: str, pseudonyms: bool | bytes) -> None:  # noqa: A002 - the argument's name
    """Draw one picture, with rings where reviewers clicked.

    ID is the id of the image, as in the column image_ids of `dirtmodel exclusions`. A rater has the
    same colour in all pictures of a database; if a database has only one rater, the rings are gold.
    An animation stays animated in a .gif or .apng file; a .png file has its frames side by side.
    With -o - the picture is written to stdout, in its own format.

    Example: dirtmodel image 15820 -o fail.png
    """
    from dirtmodel import outputs
    from dirtmodel.pictures import image as pictures

    outputs.refuse_existing([path], replace=replace)
    with options.opened(db, pseudonyms) as session:
        drawn = pictures.image(session, id)
    data = drawn.encode(pictures.FORMS.get(path.suffix.lower()))
    selection.save(data, path, replace=replace)

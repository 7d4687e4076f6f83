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

    ID is the image's; `dirtmodel exclusions` names them in image_ids. A rater has the same colour
    in all pictures of a database; the only rater of one is drawn in gold. An animation stays one in
    a .gif or .apng file; in a .png file its frames stand side by side. With -o - the picture is
    written to stdout, in its own format.

    Example: dirtmodel image 15820 -o fail.png
    """
    from dirtmodel import outputs
    from dirtmodel.pictures import image as pictures

    outputs.refuse_existing([path], replace=replace)
    with options.opened(db, pseudonyms) as session:
        drawn = pictures.image(session, id)
    data = drawn.encode(pictures.FORMS.get(path.suffix.lower()))
    selection.save(data, path, replace=replace)

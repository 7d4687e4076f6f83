"""The command that draws one picture."""

from pathlib import Path
from typing import Literal

import click

from dirtmodel.cli import options, selection


@click.command()
@click.argument("id", type=int)
@selection.output("fail.png", ".png", ".gif", stdout=True)
@selection.replace
@options.pseudonyms
@options.database
def image(id: int, *, path: Path, replace: bool, db: str, pseudonyms: bool | bytes) -> None:  # noqa: A002 - the argument's name
    """Draw one picture as the reviewers saw it, with rings where they clicked.

    ID is the image's; `dirtmodel exclusions` names them in image_ids. Rings are gold for one rater,
    of one colour each for several. An animation stays one in a .gif file; in a .png file its frames
    stand side by side. With -o - the picture is written to stdout, in its own format.

    Example: dirtmodel image 15820 -o fail.png
    """
    from dirtmodel import outputs
    from dirtmodel.viewing import single

    forms: dict[str, Literal["PNG", "GIF"]] = {".png": "PNG", ".gif": "GIF"}
    outputs.refuse_existing([path], replace=replace)
    with options.opened(db, pseudonyms) as session:
        data = single.annotated(session, id, form=forms.get(path.suffix.lower()))
    selection.save(data, path, replace=replace)

"""The command that serves a database with Datasette."""

import click

from dirtmodel.cli import options
from dirtmodel.cli.command import Command


@click.command(cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="Port to listen on.",
)
@click.option("--open", "show", is_flag=True, help="Also open it in the web browser.")
@options.database
def browse(db: str, *, port: int, show: bool) -> None:
    """Open a database in the web browser, with its pictures.

    Serves a SQLite file, to this machine only and only to read, until Ctrl-C. Needs the extra
    `browse`: pip install '.[browse]' in a checkout.

    Example: dirtmodel browse --db dirt.db --open
    """
    import contextlib

    from dirtmodel import browse as pages

    path = pages.check(db)
    with contextlib.closing(pages.listen(port)) as taken:
        pages.application(path)
        address = f"http://{pages.HOST}:{taken.getsockname()[1]}/"
        click.echo(address)
        options.warn("Ctrl-C ends it.")
        if show:
            click.launch(address)
        with contextlib.suppress(KeyboardInterrupt):
            pages.serve(path, taken)

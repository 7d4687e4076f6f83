"""The command that serves a database with Datasette."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
@click.option("--open", "show", is_flag=True, help="Also open the address in the web browser.")
@options.database
@options.quiet
def browse(db: str, *, port: int, show: bool, quiet: bool) -> None:
    """Open a database in the web browser, with its pictures.

    Prints an address and serves a SQLite file there until Ctrl-C, read-only and only for this
    machine. The address contains a secret token; without it, no page is shown. On a remote machine,
    first open a tunnel, ssh -L 8001:127.0.0.1:8001 HOST, and use --port 8001. Needs the extra
    `browse`: pip install '.[browse]' in a checkout.

    Example: dirtmodel browse --db dirt.db --open
    """
    from dirtmodel import browse as pages

    site = pages.application(pages.check(db))
    token = pages.new_token()
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(contextlib.closing(pages.listen(port)))
        address = f"http://{pages.HOST}:{taken.getsockname()[1]}/?token={token}"
        click.echo(address)
        if not quiet:
            options.warn("Press Ctrl-C to stop.")
        if show:
            click.launch(str(stack.enter_context(_link(address))))
        with contextlib.suppress(KeyboardInterrupt):
            pages.serve(site, taken, token)


@contextlib.contextmanager
def _link(address: str) -> Iterator[Path]:
    """Write a page that redirects to an address with a token.

    Other users of the machine can see the arguments of the browser, but cannot read this file.
    """
    with tempfile.TemporaryDirectory(prefix="dirtmodel-") as folder:
        page = Path(folder) / "browse.html"
        page.write_text(f'<meta http-equiv="refresh" content="0; url={address}">\n', "utf-8")
        yield page

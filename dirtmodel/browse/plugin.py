"""Hooks of Datasette: limits of statements, our own pages, and pictures and links in cells."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from datasette import hookimpl
from datasette.utils.asgi import Response
from markupsafe import Markup
from sqlalchemy import orm

from dirtmodel import opening
from dirtmodel.browse import describing, limits, showing
from dirtmodel.browse.server import file_of
from dirtmodel.errors import PictureError, UsageError
from dirtmodel.models import Image
from dirtmodel.pictures.fetch import pens_of

_INERT: Final = {"content-security-policy": "default-src 'none'; sandbox"}
_UNBOUNDED: Final = frozenset({"printf", "format"})
"""Functions that the time limit does not interrupt, as in `printf('%.*c', 2e9, 'x')`."""

_READING: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="page")
"""Few threads, because each picture may need much memory."""

_PICTURE: Final = Markup(
    '<a href="/dirt/image/{0}"><img src="/-/picture/{0}" alt="image {0} with its clicks" '
    'loading="lazy" width="320"></a>'
)
_NO_PICTURE: Final = Markup(
    "<em>Statements cannot read pictures. To see them here, select the image's id as well: "
    "<code>select id, img from image</code>.</em>"
)
_LINK: Final = Markup('<a href="/dirt/{1}/{0}">{0}</a>')
_LINKED: Final = {
    "img_id": "image",
    "image_id": "image",
    "target_id": "target",
    "session": "session",
    "session_id": "session",
}
"""Columns with ids, and the tables that they refer to."""

_ROW_PAGES: Final = {
    "row-dirt-image.html": showing.image,
    "row-dirt-target.html": showing.target,
}


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Limit statements: they read NULL for pictures, no other files, and no huge values."""
    limits.limit_connection(conn)
    conn.set_authorizer(_authorize)


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _via: str | None
) -> int:
    if action == sqlite3.SQLITE_READ and (first, second) == ("image", "img"):
        return sqlite3.SQLITE_IGNORE
    if action in {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second in _UNBOUNDED:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def prepare_jinja2_environment(env: Any) -> None:
    """Let templates include the templates of `dirtmodel.pages`."""
    import jinja2

    pages = jinja2.PrefixLoader({"pages": jinja2.PackageLoader("dirtmodel.pages")}, delimiter=":")
    env.loader.loaders.append(pages)


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def render_cell(row: Any, value: Any, column: str, table: str | None, datasette: Any) -> Any:
    """Show a picture in the column `img`, links for ids, and names for numbers."""
    # SQLite gives a column that must not be read its qualified name, unless it has an alias.
    if column.rpartition(".")[2] == "img":
        names = row.keys()
        key = next((name for name in ("img_id", "id") if name in names), None)
        return _PICTURE.format(row[key]) if key and isinstance(row[key], int) else _NO_PICTURE
    if not isinstance(value, int):
        return None
    if column == "id" and table == "image_labels":
        return _LINK.format(value, "image")
    if column in _LINKED:
        return _LINK.format(value, _LINKED[column])
    lookup = describing.lookup_of(table, column) if table else None
    return _name(datasette, lookup, value) if lookup else None


async def _name(datasette: Any, lookup: str, number: int) -> Markup:
    statement = f"SELECT name FROM {lookup} WHERE id = ?"
    found = await datasette.get_database(describing.NAME).execute(statement, [number])
    return Markup("{} <em>{}</em>").format(found.single_value(), number)


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
async def extra_template_vars(template: str, request: Any, datasette: Any) -> Any:
    """Return the contents of the pages of an image and of a target, apart from their rows."""
    show = _ROW_PAGES.get(template)
    if show is None:
        return {}
    return await _with_session(datasette, show, int(request.url_vars["pks"]))


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """Register the start page, the pages of pictures, and the address of each picture."""
    return [
        (r"^/$", start),
        (r"^/-/pictures$", pictures),
        (r"^/-/picture/(?P<img_id>\d{1,18})$", picture),
    ]


async def start(request: Any, datasette: Any) -> Any:
    """Answer with the start page."""
    found = await _with_session(datasette, showing.start)
    found["file"] = datasette.get_database(describing.NAME).path
    return Response.html(await datasette.render_template("start.html", found, request))


async def pictures(request: Any, datasette: Any) -> Any:
    """Answer with a page of the pictures that meet some conditions."""
    wanted = {name: request.args[name] for name in request.args}
    try:
        found = await _with_session(datasette, showing.pictures, wanted)
    except UsageError as error:
        return Response.text(f"{error}\n", status=400, headers=_INERT)
    return Response.html(await datasette.render_template("pictures.html", found, request))


async def _with_session(datasette: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function with a session on the file, in a thread of its own pool."""

    def run() -> Any:
        with opening.open(file_of(datasette)) as session:
            return function(session, *arguments)

    return await asyncio.get_running_loop().run_in_executor(_READING, run)


async def picture(request: Any, datasette: Any) -> Any:
    """Answer with one picture and the clicks on it as rings."""
    img_id = int(request.url_vars["img_id"])
    try:
        found = await _with_session(datasette, draw, img_id)
    except PictureError as error:
        return Response.text(f"{error}\n", status=422, headers=_INERT)
    if found is None:
        return Response.text(f"There is no image {img_id}.\n", status=404, headers=_INERT)
    kind = "image/gif" if found.startswith(b"GIF") else "image/png"
    headers = {**_INERT, "cache-control": "private, max-age=60"}
    return Response(found, headers=headers, content_type=kind)


def draw(session: orm.Session, img_id: int) -> bytes | None:
    """Return the picture of an image with its clicks as rings; None if the image does not exist."""
    from dirtmodel.draw.annotate import Notes, annotate
    from dirtmodel.draw.captions import rings_of

    image = session.get(Image, img_id)
    if image is None:
        return None
    rings = rings_of(image.reviews, image.coordinates)
    notes = Notes(clicks=rings, pens=pens_of(session), legend=False)
    return annotate(image.img, notes, img_id=img_id)


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def handle_exception(exception: Exception) -> Any:
    """Answer with an explanation if a statement needs too much memory."""
    if not isinstance(exception, MemoryError):
        return None
    return Response.text(
        "This needs more memory than a page may use; select fewer rows or columns.\n",
        status=400,
        headers=_INERT,
    )

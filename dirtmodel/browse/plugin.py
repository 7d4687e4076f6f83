"""Hooks of Datasette: limits of statements, pictures in cells, and an address for each."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from datasette import hookimpl
from datasette.utils.asgi import Response
from markupsafe import Markup

from dirtmodel import opening
from dirtmodel.browse import limits
from dirtmodel.browse.server import file_of
from dirtmodel.errors import PictureError
from dirtmodel.models import Image
from dirtmodel.pictures.fetch import pens_of

_INERT: Final = {"content-security-policy": "default-src 'none'; sandbox"}
_UNBOUNDED: Final = frozenset({"printf", "format"})
"""Functions that can run for minutes without a look at the clock: `printf('%.*c', 2e9, 'x')`."""

_DRAWING: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="picture")
"""Few at a time, because each may need much memory."""


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Let statements read NULL instead of pictures, no other file, and nothing huge."""
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
def render_cell(row: Any, column: str) -> Markup | None:
    """Show a picture where a row has an `img` and the id of its image."""
    # Without an alias, SQLite calls a column that is not to be read by its qualified name.
    if column.rpartition(".")[2] != "img":
        return None
    names = row.keys()
    key = next((name for name in ("img_id", "id") if name in names), None)
    if key is None or not isinstance(row[key], int):
        return None
    return Markup(
        '<a href="/-/picture/{0}"><img src="/-/picture/{0}" alt="image {0} with its clicks" '
        'loading="lazy" width="320"></a>'
    ).format(row[key])


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """Register the address of each picture."""
    return [(r"^/-/picture/(?P<img_id>\d{1,18})$", picture)]


async def picture(request: Any, datasette: Any) -> Any:
    """Answer with one picture and the clicks on it as rings."""
    img_id = int(request.url_vars["img_id"])
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(_DRAWING, draw, file_of(datasette), img_id)
    except PictureError as error:
        return Response.text(f"{error}\n", status=422, headers=_INERT)
    if found is None:
        return Response.text(f"There is no image {img_id}.\n", status=404, headers=_INERT)
    kind = "image/gif" if found.startswith(b"GIF") else "image/png"
    headers = {**_INERT, "cache-control": "private, max-age=60"}
    return Response(found, headers=headers, content_type=kind)


def draw(path: Path, img_id: int) -> bytes | None:
    """Draw the clicks on an image as rings; None where there is no such image."""
    from dirtmodel.draw.annotate import Notes, annotate
    from dirtmodel.draw.captions import rings_of

    with opening.open(path) as session:
        image = session.get(Image, img_id)
        if image is None:
            return None
        notes = Notes(
            clicks=rings_of(image.reviews, image.coordinates),
            pens=pens_of(session),
            legend=False,
        )
        return annotate(image.img, notes, img_id=img_id)


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def handle_exception(exception: Exception) -> Any:
    """Explain a statement that needs too much memory."""
    if not isinstance(exception, MemoryError):
        return None
    return Response.text(
        "This needs more memory than a page may use; ask for less.\n", status=400, headers=_INERT
    )

"""Hooks of Datasette: pictures in cells, an address for each, and access from this machine only."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from datasette import hookimpl
from datasette.utils.asgi import Response
from markupsafe import Markup

from dirtmodel import opening
from dirtmodel.errors import PictureError
from dirtmodel.models import Image
from dirtmodel.pictures.fetch import pens_of

_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost"})
_HEADERS: Final = {
    # Datasette's own pages contain scripts and styles; nothing may come from elsewhere.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_INERT: Final = {**_HEADERS, "content-security-policy": "default-src 'none'; sandbox"}
_Scope = Mapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Let statements read NULL instead of pictures, and no other file."""
    conn.set_authorizer(_authorize)


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _via: str | None
) -> int:
    if action == sqlite3.SQLITE_READ and (first, second) == ("image", "img"):
        return sqlite3.SQLITE_IGNORE
    if action in {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}:
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
    (path,) = (db.path for db in datasette.databases.values() if db.path)
    img_id = int(request.url_vars["img_id"])
    try:
        found = await asyncio.to_thread(draw, Path(path), img_id)
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
def asgi_wrapper() -> Callable[[_App], _App]:
    """Reject other host names, and forbid pages to load anything from elsewhere."""

    def wrap(app: _App) -> _App:
        async def guarded(scope: _Scope, receive: _Receive, send: _Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            if _host(scope) not in _LOCAL_NAMES:
                # A page elsewhere can make its own host name point here.
                await Response.text("This is for 127.0.0.1 only.\n", status=403).asgi_send(send)
                return

            async def send_guarded(event: Any) -> None:
                if event["type"] == "http.response.start":
                    event = {**event, "headers": _guarded(event["headers"])}
                await send(event)

            await app(scope, receive, send_guarded)

        return guarded

    return wrap


def _host(scope: _Scope) -> str:
    """Return the host name of a request, without its port."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return str(host.rpartition(":")[0] or host)


def _guarded(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    more = [
        (name.encode(), value.encode())
        for name, value in _HEADERS.items()
        if name.encode() not in given
    ]
    return [*headers, *more]

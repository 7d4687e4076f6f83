"""What Datasette calls: pictures in cells, an address for each, and a door for this machine."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from datasette import hookimpl
from datasette.utils.asgi import Response
from markupsafe import Markup

from dirtmodel import database
from dirtmodel.errors import PictureError
from dirtmodel.models import Coordinate, Image, Session

_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost"})
_HEADERS: Final = {
    # Datasette's own pages have scripts and styles in them; from elsewhere nothing may come.
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
    """Let statements see NULL where pictures are, and no other file."""
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
    """Show a picture where a row has an `img` and says of which image."""
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
    """Give each picture an address."""
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
    from dirtmodel.draw.rings import Click

    with database.open(path) as session:
        img = session.scalar(sa.select(Image.img).where(Image.id == img_id))
        if img is None:
            return None
        clicks = session.execute(
            sa.select(Coordinate.x, Coordinate.y, Session.user)
            .join(Coordinate.session)
            .where(Coordinate.img_id == img_id)
            .order_by(Coordinate.id)
        )
        notes = Notes(clicks=[Click(*click) for click in clicks], legend=False)
    return annotate(img, notes, img_id=img_id)


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def asgi_wrapper() -> Callable[[_App], _App]:
    """Keep out other names for this machine, and whatever a page could load from elsewhere."""

    def wrap(app: _App) -> _App:
        async def guarded(scope: _Scope, receive: _Receive, send: _Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            if _host(scope) not in _LOCAL_NAMES:
                # A page elsewhere can let its own name point here.
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
    """Give the name that the browser called, without its port."""
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

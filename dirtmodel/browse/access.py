"""Access control: only a browser on this machine that has the token may read the pages."""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Any port is allowed, because a tunnel may begin at another port.
_LOCAL: Final = re.compile(rb"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)

_HEADERS: Final = {
    # Datasette's own pages contain inline scripts and styles; other origins are not allowed.
    b"content-security-policy": b"default-src 'self'; script-src 'self' 'unsafe-inline'; "
    b"style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}

_NOT_HERE: Final = "This is for 127.0.0.1 only.\n"
_NOT_OPENED: Final = (
    "Open the address that `dirtmodel browse` printed when it started, with its token.\n"
)
_FOREIGN: Final = "Another site cannot request this page. Open the address directly.\n"
_ONLY_READING: Final = "Pages can only be read.\n"


@dataclass(frozen=True)
class Guard:
    """An ASGI application that passes permitted requests to another one and refuses the rest.

    A request is permitted if its address contains the token. The answer then sets a cookie, with
    which later requests are permitted, unless they come from a page of another site.

    Parameters
    ----------
    app
        The application that answers permitted requests.
    token
        The secret token.
    port
        The port of the server. It is part of the name of the cookie, so that two servers do not
        replace each other's cookies.
    """

    app: App
    token: str
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given, rest = _take_token(scope["query_string"])
        named = given is not None and self._is_token(given)
        refusal = _refusal_of_request(scope) or (None if named else self._refusal_of_page(scope))
        cookie = f"{self._cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"

        async def send_guarded(event: Any) -> None:
            if event["type"] == "http.response.start":
                headers = _with_defaults(event["headers"])
                if named:
                    # A page from the cache of the browser would not set a cookie.
                    headers = [pair for pair in headers if pair[0].lower() != b"cache-control"]
                    headers += [(b"cache-control", b"no-store"), (b"set-cookie", cookie.encode())]
                event = {**event, "headers": headers}
            await send(event)

        if refusal is None:
            await self.app({**scope, "query_string": rest}, receive, send_guarded)
        else:
            await _refuse(refusal, send_guarded)

    @property
    def _cookie(self) -> str:
        return f"dirtmodel-{self.port}"

    def _is_token(self, text: bytes) -> bool:
        return hmac.compare_digest(text, self.token.encode())

    def _refusal_of_page(self, scope: Scope) -> str | None:
        """Return the reason for refusing a request without the token; None to permit it."""
        pairs = (
            pair.strip().partition(b"=")
            for cookies in _values(scope, b"cookie")
            for pair in cookies.split(b";")
        )
        if not any(
            name == self._cookie.encode() and self._is_token(value) for name, _, value in pairs
        ):
            return _NOT_OPENED
        own = b"http://" + _values(scope, b"host")[0].lower()
        foreign = any(origin.lower() != own for origin in _values(scope, b"origin"))
        sites = _values(scope, b"sec-fetch-site")
        if foreign or any(site not in {b"same-origin", b"none"} for site in sites):
            return _FOREIGN
        return None


def _refusal_of_request(scope: Scope) -> str | None:
    """Return the reason for refusing a request whatever its token; None to permit it."""
    hosts = _values(scope, b"host")
    # Another site can make its own host name point to this machine (DNS rebinding).
    if len(hosts) != 1 or not _LOCAL.fullmatch(hosts[0]):
        return _NOT_HERE
    return None if scope["method"] in {"GET", "HEAD"} else _ONLY_READING


def _take_token(query: bytes) -> tuple[bytes | None, bytes]:
    """Return the token in a query string, and the query string without it."""
    parts = query.split(b"&")
    tokens = [part.removeprefix(b"token=") for part in parts if part.startswith(b"token=")]
    rest = b"&".join(part for part in parts if not part.startswith(b"token="))
    return tokens[-1] if tokens else None, rest


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _with_defaults(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Add the headers of `_HEADERS` that are missing."""
    given = {name.lower() for name, _ in headers}
    return [*headers, *((name, value) for name, value in _HEADERS.items() if name not in given)]


async def _refuse(text: str, send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})

"""Which requests `dirtmodel browse` answers, and what one statement may take."""

import asyncio
import contextlib
import http.client
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import documents
import pytest

from dirtmodel import browse
from dirtmodel.browse import limits
from dirtmodel.browse.access import Guard

WORD = "secret"
COOKIE = {"cookie": f"a=b; dirtmodel-8001={WORD}"}


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    query: bytes | None


def ask(query: str = "", *, method: str = "GET", **headers: str) -> Answer:
    """Send a request to a guarded application; `query` is what that one received."""
    received: list[bytes] = []
    sent: list[Any] = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        received.append(scope["query_string"])
        headers = [(b"Cache-Control", b"max-age=5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> None:
        return None

    all_headers = {"host": "127.0.0.1:8001", **headers}
    scope = {
        "type": "http",
        "method": method,
        "query_string": query.encode(),
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in all_headers.items()],
    }
    asyncio.run(Guard(application, WORD, 8001)(scope, receive, send))
    answer = sent[0]
    return Answer(answer["status"], dict(answer["headers"]), received[0] if received else None)


class TestToken:
    def test_in_the_address_opens_and_sets_a_cookie(self) -> None:
        answer = ask(f"sub=1&token={WORD}")

        assert answer.status == 200
        cookie = f"dirtmodel-8001={WORD}; Path=/; HttpOnly; SameSite=Strict"
        assert answer.headers[b"set-cookie"] == cookie.encode()
        # A page from the cache would not set the cookie that its pictures need.
        assert answer.headers[b"cache-control"] == b"no-store"

    def test_is_not_passed_on(self) -> None:
        assert ask(f"a=1&token={WORD}&b=2").query == b"a=1&b=2"

    def test_in_a_cookie_opens(self) -> None:
        assert ask(**COOKIE).status == 200

    @pytest.mark.parametrize(
        ("query", "cookie"),
        [
            ("", "x=y"),
            ("token=", "x=y"),
            ("token=wrong", "x=y"),
            ("", "dirtmodel-8001=wrong"),
            ("", "dirtmodel-8001="),
            ("", f"dirtmodel-8002={WORD}"),
        ],
    )
    def test_that_is_missing_or_wrong_is_refused(self, query: str, cookie: str) -> None:
        answer = ask(query, cookie=cookie)

        assert (answer.status, answer.query) == (403, None)


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1:8001", "localhost", "LOCALHOST:9000", "[::1]:8001", "[::1]"]
    )
    def test_of_this_machine_are_accepted(self, host: str) -> None:
        assert ask(**COOKIE, host=host).status == 200

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example", "127.0.0.1:8001@evil", "127.0.0.1.evil.example", "127.0.0.1:", "",
            "localhost:80 evil", "127.0.0.2", "[::2]", "localhost\n",
        ],
    )  # fmt: skip
    def test_of_others_are_refused(self, host: str) -> None:
        assert ask(f"token={WORD}", **COOKIE, host=host).status == 403


class TestPagesOfOtherSites:
    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "http://evil.example"},
            {"origin": "http://127.0.0.1:8888"},
            {"origin": "null"},
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
        ],
    )
    def test_are_refused(self, headers: dict[str, str]) -> None:
        assert ask(**COOKIE, **headers).status == 403

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "http://127.0.0.1:8001"},
            {"sec_fetch_site": "same-origin"},
            {"sec_fetch_site": "none"},
        ],
    )
    def test_do_not_include_our_own(self, headers: dict[str, str]) -> None:
        assert ask(**COOKIE, **headers).status == 200

    def test_may_link_to_an_address_with_the_token(self) -> None:
        assert ask(f"token={WORD}", sec_fetch_site="cross-site").status == 200

    def test_cannot_write(self) -> None:
        assert ask(f"token={WORD}", **COOKIE, method="POST").status == 403


class TestStatements:
    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("select randomblob(1000000000)", "string or blob too big"),
            ("select hex(zeroblob(4e8))", "string or blob too big"),
            ("select printf('%.*c', 900000000, 'x')", "not authorized to use function: printf"),
            ("select hex(zeroblob(400000)) from image", "the result is larger than 20 MB; choose"),
            ("select 1 like hex(zeroblob(2000))", "LIKE or GLOB pattern too complex"),
        ],
    )
    def test_cannot_make_huge_values(self, demo_db: Path, statement: str, message: str) -> None:
        client = browse.application(demo_db).client

        answer = asyncio.run(client.get(f"/dirt.json?{urllib.parse.urlencode({'sql': statement})}"))

        assert answer.status_code == 400
        assert answer.json()["error"].startswith(message)

    def test_with_errors_are_not_printed_in_the_terminal(
        self, demo_db: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        client = browse.application(demo_db).client

        answer = asyncio.run(client.get("/dirt.json?sql=select+missing+from+image"))

        assert answer.json()["error"] == "no such column: missing"
        assert capfd.readouterr() == ("", "")

    def test_that_need_too_much_memory_are_explained(
        self, demo_db: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = browse.application(demo_db)

        async def fail(*_arguments: object, **_options: object) -> None:
            raise MemoryError

        monkeypatch.setattr(site, "refresh_schemas", fail)
        answer = asyncio.run(site.client.get("/dirt"))

        assert answer.status_code == 400
        assert (
            answer.text
            == "This needs more memory than a page may use; select fewer rows or columns.\n"
        )


class TestFiles:
    @pytest.mark.parametrize(
        "name",
        ["ours#3.db", "rel?3/x.db", "%23.db", "%41.db", "_internal.db", "-", "ü ~.db", "\udcff.db"],
    )
    def test_may_have_any_name(self, demo_db: Path, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(demo_db)
        neighbours = {found.name for found in tmp_path.rglob("*")}
        client = browse.application(browse.check(path)).client

        answer = asyncio.run(client.get("/dirt/release.json?_shape=array"))

        assert [row["label"] for row in answer.json()] == ["demo"]
        assert {found.name for found in tmp_path.rglob("*")} == neighbours


def test_ctrl_c_ends_a_running_statement(demo_db: Path) -> None:
    command = "from dirtmodel.cli import main; main()"
    endless = "with recursive c(i) as (select 1 union all select i+1 from c) select count(*) from c"
    with subprocess.Popen(
        [sys.executable, "-c", command, "browse", "--db", str(demo_db)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address = server.stdout.readline().strip().replace("/?", "/dirt.json?")
        query = urllib.parse.urlencode({"sql": endless})

        def ask_for_it() -> None:
            # The answer may be cut off.
            with contextlib.suppress(OSError, http.client.HTTPException):
                urllib.request.urlopen(f"{address}&{query}", timeout=60)  # noqa: S310 - our own server

        asking = threading.Thread(target=ask_for_it)
        asking.start()
        time.sleep(1)
        started = time.monotonic()

        server.send_signal(signal.SIGINT)
        code = server.wait(30)
        asking.join(30)

        # Statements may take five seconds.
        assert time.monotonic() - started < 4
        assert (code, server.stderr.read()) == (0, "Press Ctrl-C to stop.\n")


def test_the_documentation_states_the_limits() -> None:
    text = " ".join((documents.ROOT / "docs" / "browse.md").read_text("utf-8").split())

    assert (
        f"A statement may run for {limits.SETTINGS['sql_time_limit_ms'] // 1000} seconds; its "
        f"values are limited to {limits.LARGEST_VALUE // 10**6} MB each and its result to "
        f"{limits.LARGEST_RESULT // 10**6} MB."
    ) in text

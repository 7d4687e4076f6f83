"""A server that is restarted while a command uses it."""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import database

SCRIPTS = Path(__file__).parent.parent / "scripts"
MODES = {"fast": "administrator command", "immediate": "immediate shutdown command"}


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A server of its own, as `scripts/torture` restarts it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        patch.setenv("XDG_RUNTIME_DIR", folder)
        from torture_servers import servers_at

        with servers_at(None, Path(folder), 1) as servers:
            yield servers[0]
        del sys.modules["torture_servers"]


def reason(mode: str) -> str:
    """What is known of the end; the server may be gone before its last words are read."""
    return (
        rf"(terminating connection due to {MODES[mode]}|[^\n]*closed the connection unexpectedly)"
    )


@pytest.mark.parametrize("mode", MODES)
def test_commands_end_with_one_line_and_the_release_stays(
    mode: str, server: Any, release: Path
) -> None:
    url = server.url.update_query_dict({"options": f"-csearch_path={mode}"})
    shown = re.escape(database.display(url))
    dm.load(release, url, label="first")

    def restart(*_: Any) -> None:
        server.stop(mode)
        server.start()

    def query() -> None:
        with dm.open(url) as db:
            rows = db.execute(sa.select(dm.Review.id), execution_options={"yield_per": 9})
            rows.fetchone()
            restart()
            rows.all()

    with pytest.raises(
        dm.DatabaseError,
        match=rf"^the load into {shown} failed: {reason(mode)}; nothing was changed\Z",
    ):
        dm.load(release, url, label="second", replace=True, progress=restart)
    with pytest.raises(
        dm.DatabaseError, match=rf"^the connection to {shown} was lost: {reason(mode)}; try again\Z"
    ):
        query()
    with dm.open(url) as db:
        assert db.scalars(sa.select(dm.Release.label)).all() == ["first"]

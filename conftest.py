"""The demo's database, for the tests and for the examples in docstrings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import sample


@pytest.fixture(scope="session")
def demo_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that `dirtmodel demo` makes; shared, so open it read-only."""
    folder = tmp_path_factory.mktemp("demo")
    sample.write_release(folder / "release")
    dm.load(folder / "release", folder / "dirt.db", label="demo")
    return folder / "dirt.db"


@pytest.fixture(autouse=True)
def _names_for_doctests(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]
) -> Iterator[None]:
    """Provide `demo_db`, the path, and `db`, a session on it, to the examples that use them."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    source = "".join(example.source for example in request.node.dtest.examples)
    if not re.search(r"\b(demo_db|db)\b", source):
        yield
        return
    path = request.getfixturevalue("demo_db")
    with dm.open(path) as session:
        doctest_namespace.update(demo_db=path, db=session, sa=sa, dm=dm)
        yield

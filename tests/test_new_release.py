"""docs/new-release.md is walked as it stands, on a copy of the package."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dirtmodel import database, sample

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "new-release.md").read_text("utf-8")
CONFIDENCE = pa.int64()
EDDY = 5

Run = Callable[..., subprocess.CompletedProcess[str]]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def apply(patch: str, tree: Path) -> None:
    """Make an edit of the document: lines that stay, go and come."""
    header, *lines = patch.splitlines()
    file = tree / header.removeprefix("--- ")
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    text = file.read_text("utf-8")
    assert text.count(before) == 1, patch
    file.write_text(text.replace(before, after), "utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its migrations, as it is today."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("dirtmodel", "migrations"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    return folder


@pytest.fixture(scope="module")
def run(tree: Path) -> Run:
    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from dirtmodel.cli import main; main()", *map(str, arguments)],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=False,
        )

    return command


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Today's release, and the next one: with a column and a step more."""
    folder = tmp_path_factory.mktemp("releases")
    tables = sample.make_tables(subjects=2, slices=1, pictures="tiny", hazards=False)
    today = sample.write_tables(tables, folder / "today")
    rows = {name: table.to_pylist() for name, table in tables.items()}
    picture = next(row for row in rows["image"] if row["step"] == 3)
    session = next(row for row in rows["session"] if row["step"] == 3)
    rating = rows["rating"][0]
    rows["image"].append({**picture, "id": 900_001, "step": EDDY})
    rows["session"].append({**session, "id": 900_002, "step": EDDY})
    rows["rating"].append({**rating, "id": 900_003, "img_id": 900_001, "session": 900_002})
    schemas = {name: table.schema for name, table in tables.items()}
    schemas["rating"] = schemas["rating"].append(pa.field("confidence", CONFIDENCE))
    for row in rows["rating"]:
        row["confidence"] = 1 + row["id"] % 5
    following = {name: pa.Table.from_pylist(rows[name], schemas[name]) for name in rows}
    return today, sample.write_tables(following, folder / "following")


def operations(said: list[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    return {(f["code"], f["file"]): f["operations"] for f in said if f["operations"]}


def test_the_walk(tree: Path, run: Run, releases: tuple[Path, Path], postgres_server: str) -> None:
    today, following = releases
    server = database.parse_url(postgres_server).update_query_dict(
        {"options": "-csearch_path=walk"}
    )
    places = (tree / "dirt.db", server.render_as_string(hide_password=False))
    for place in places:
        assert run("load", today, "--db", place).returncode == 0

    # 1. What is new is found, each with the operation that the document shows.
    checked = run("check", following, "--format", "json")
    assert checked.returncode == 1
    found = operations(json.loads(checked.stdout))
    assert found["extra-column", "rating.parquet"] == [
        'op.add_column("rating", sa.Column("confidence", sa.BigInteger(), nullable=True))'
    ]
    for table in ("session", "image"):
        (widened,) = found["unknown-enum", f"{table}.parquet"]
        assert widened.startswith(f'op.drop_constraint(op.f("ck_{table}_step"), "{table}", ')
        assert widened.endswith(f'"{table}", "step IN (0, 1, 2, 3, 4, 5)")')
    assert "    op.add_column(" in run("check", following).stdout

    # 2. and 3. The edits and the migration of the document.
    for patch in blocks("diff"):
        apply(patch, tree)
    (migration,) = blocks("python")
    (tree / "migrations" / "versions" / "0008_eddy.py").write_text(migration, "utf-8")
    # Edits of the same second and length would go unnoticed.
    for compiled in tree.rglob("__pycache__"):
        shutil.rmtree(compiled)

    for place in places:
        # 4. Nothing is lost, and what was new is there.
        shown = run("upgrade", "--db", place, "--dry-run")
        assert shown.returncode == 0, shown.stderr
        assert "ADD COLUMN confidence" in shown.stdout
        upgraded = run("upgrade", "--db", place)
        assert upgraded.returncode == 0, upgraded.stderr
        again = run("diff", place, today, "--table", "image")
        assert again.returncode == 0, again.stdout + again.stderr
    checked = run("check", following, "--format", "json")
    assert checked.returncode == 0, checked.stdout
    assert operations(json.loads(checked.stdout)) == {}
    loaded = run("load", following, "--db", tree / "new.db")
    assert loaded.returncode == 0, loaded.stderr
    differing = run("diff", tree / "dirt.db", tree / "new.db", "--format", "json")
    assert differing.returncode == 1, differing.stderr
    assert json.loads(differing.stdout)["tables"]["image"]["added"] == 1
    with sa.create_engine(f"sqlite:///{tree / 'new.db'}").connect() as connection:
        row = connection.execute(
            sa.text(
                "SELECT l.step, r.confidence FROM rating_labels AS l JOIN rating AS r USING (id) "
                "WHERE l.id = 900003"
            )
        ).one()
    assert row == ("EDDY", 1 + 900_003 % 5)


def test_a_sound_release_needs_no_operation(run: Run, releases: tuple[Path, Path]) -> None:
    said = json.loads(run("check", releases[0], "--format", "json").stdout)

    assert operations(said) == {}

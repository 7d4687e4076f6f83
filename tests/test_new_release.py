"""docs/new-release.md is followed as it stands, on a copy of the package, on both engines."""

import re
import shutil
from pathlib import Path
from typing import Any

import documents
import pyarrow as pa
import pytest
import sqlalchemy as sa

from dirtmodel import database, sample

DOCUMENT = documents.ROOT / "docs" / "new-release.md"
EDDY = 5
NEW = 900_000
"""The first id that is unused in all tables."""


def blocks(kind: str) -> list[str]:
    text = DOCUMENT.read_text("utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def apply(patch: str, tree: Path) -> None:
    """Make an edit of the document: lines that stay, are removed and are added."""
    header, *lines = patch.splitlines()
    file = tree / header.removeprefix("--- ")
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    text = file.read_text("utf-8")
    assert text.count(before) == 1, patch
    file.write_text(text.replace(before, after), "utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and its migrations, as they are today."""
    folder = tmp_path / "tree"
    for name in ("dirtmodel", "migrations"):
        shutil.copytree(documents.ROOT / name, folder / name)
    return folder


def write_release(folder: Path) -> None:
    """Write a release with a column and a step more."""
    tables = sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)
    changes: dict[str, dict[str, Any]] = {
        "image": {"step": EDDY},
        "session": {"step": EDDY},
        "rating": {"img_id": NEW, "session": NEW, "rating": 2},
    }
    for table, values in changes.items():
        row = {**tables[table].slice(0, 1).to_pylist()[0], "id": NEW, **values}
        added = pa.Table.from_pylist([row], tables[table].schema)
        tables[table] = pa.concat_tables([tables[table], added])
    rating = tables["rating"]
    confidence = pa.array([1 + row % 5 for row in range(len(rating) - 1)] + [4], pa.int64())
    tables["rating"] = rating.append_column("confidence", confidence)
    sample.write_tables(tables, folder, empty_rows=0)


def test_the_page_can_be_followed(new_url: sa.URL, tree: Path, tmp_path: Path) -> None:
    write_release(tmp_path / "release-4.0")
    *today, upgrade, exclusions, load = documents.commands(DOCUMENT)
    is_sqlite = new_url.get_backend_name() == "sqlite"
    where = "dirt.db" if is_sqlite else new_url.render_as_string(hide_password=False)
    shown = "dirt.db" if is_sqlite else database.display(new_url)
    before = f"export DIRTMODEL_DB='{where}' PYTHONDONTWRITEBYTECODE=1; "
    edits = blocks("diff")
    (migration,) = blocks("python")

    def run(command: documents.Command, package: Path) -> None:
        text = command.text.replace("--db dirt.db", f"--db '{where}'")
        output = command.shown.replace("dirt.db", shown)
        if not is_sqlite and text.startswith("dirtmodel sql"):
            text += " --trust"  # the role of the tests is a superuser
        documents.run(
            documents.Command(text, output, command.line),
            tmp_path,
            before=before,
            package=package,
        )

    for command in today:
        run(command, documents.ROOT)
    for edit in edits:
        apply(edit, tree)
    (tree / "migrations" / "versions" / "0004_eddy.py").write_text(migration, "utf-8")
    for command in (upgrade, exclusions, load):
        run(command, tree)

    with database.engine(_url(new_url, tmp_path)).connect() as connection:
        step = connection.execute(sa.text("SELECT * FROM step WHERE id = 5")).one()
        row = connection.execute(
            sa.text(
                "SELECT l.step, r.confidence FROM rating_labels AS l JOIN rating AS r USING (id) "
                f"WHERE l.id = {NEW}"
            )
        ).one()
    assert tuple(step) == (EDDY, "EDDY", "verdict")
    assert tuple(row) == ("EDDY", 4)
    assert (tmp_path / "0004_release_4.py").is_file()


def _url(url: sa.URL, folder: Path) -> sa.URL:
    return url.set(database=str(folder / "dirt.db")) if url.database != "postgres" else url


def test_no_page_asks_for_an_edit_of_the_schema() -> None:
    pages = [documents.ROOT / "README.md", *(documents.ROOT / "docs").glob("*.md")]
    asking = [
        page.name
        for page in pages
        if re.search(r"PRAGMA|sqlite_master|sqlite_schema", page.read_text("utf-8"))
    ]
    assert asking == []

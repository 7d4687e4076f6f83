"""Every block of the cookbook runs, and its output is what the page shows below it."""

import importlib.util
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel.outputs.values import is_number

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cookbook.md"


def test_every_block_prints_what_the_page_shows(demo_db: Path) -> None:
    spec = importlib.util.spec_from_file_location("cookbook", ROOT / "scripts" / "cookbook.py")
    assert spec is not None
    assert spec.loader is not None
    cookbook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cookbook)
    written = PAGE.read_text(encoding="utf-8")
    assert cookbook.filled(written, demo_db) == written, "run: scripts/docs"


@pytest.mark.parametrize("new_url", ["postgres"], indirect=True)
def test_every_statement_returns_the_same_on_postgres(demo_db: Path, new_url: sa.URL) -> None:
    dm.load(demo_db.parent / "release", new_url, label="demo")
    page = PAGE.read_text(encoding="utf-8")
    different = []

    for statement in re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        on_postgres = re.sub(r"(?m)^.*\n *-- Postgres: (.*)$", r"\1", statement)
        if answer(new_url, on_postgres) != answer(demo_db, statement):
            different.append(statement)

    assert different == []


def answer(db: Path | sa.URL, statement: str) -> list[list[str]]:
    """Return the rows as text: numbers are of other types on Postgres, and of equal value."""
    with dm.ask(db, statement, trust=True) as found:
        return [
            [f"{float(value):.6g}" if is_number(value) else str(value) for value in row]
            for row in found.rows
        ]


def test_fifteen_questions_and_more_are_answered_in_sql_and_some_in_python() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"^## \d+\. .*\?$", written, re.MULTILINE)) >= 15
    assert written.count("```sql\n") >= 15
    assert written.count("```python\n") >= 4
    assert written.count("```text\n") == written.count("```sql\n") + written.count("```python\n")

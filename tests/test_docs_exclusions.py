"""docs/exclusions.md does what it says: its commands are run, one after the other."""

import re
import shutil
from pathlib import Path
from typing import Any

import documents
import pytest
import sqlalchemy as sa

import dirtmodel as dm

DOCUMENT = documents.ROOT / "docs" / "exclusions.md"


def test_the_document_can_be_followed(
    demonstration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(demonstration, tmp_path / "demo")
    for command in (commands := list(documents.commands(DOCUMENT))):
        documents.run(command, tmp_path, before="export DIRTMODEL_DB=demo/dirt.db; ")
    assert len(commands) > 10

    (python,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(python, found)  # noqa: S102 - the example as it stands in the document
    assert len(found["rows"]) > 0
    assert len(found["filters"]) > 0


def test_every_column_and_status_is_explained() -> None:
    text = DOCUMENT.read_text("utf-8")
    columns = dm.Exclusions(level="target").select().selected_columns.keys()
    assert [name for name in columns if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)] == []
    assert all(f"| `{status}` |" in text for status in dm.Exclusions(status=None).statuses)
    assert isinstance(dm.Exclusions().select(), sa.Select)

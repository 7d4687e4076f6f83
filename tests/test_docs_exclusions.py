"""docs/exclusions.md does what it says: its commands are run, one after the other."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import dirtmodel as dm

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "exclusions.md"


def _documents() -> Any:
    # Test modules are not importable by name.
    spec = importlib.util.spec_from_file_location("documents", ROOT / "tests" / "documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_document_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = _documents()
    tools = tmp_path / "bin"
    tools.mkdir()
    shim = tools / "dirtmodel"
    shim.write_text(f"#!{sys.executable}\nfrom dirtmodel.cli import main\nmain()\n", "utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    documents.run(documents.Command("dirtmodel demo demo", "...\n", 0), tmp_path)

    commands = list(documents.commands(DOCUMENT))
    for command in commands:
        text = f"export DIRTMODEL_DB=demo/dirt.db; {command.text}"
        documents.run(documents.Command(text, command.shown, command.line), tmp_path)

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

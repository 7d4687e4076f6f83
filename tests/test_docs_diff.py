"""docs/diff.md shows what the commands print."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    # Test modules are not importable by name.
    spec = importlib.util.spec_from_file_location("documents", ROOT / "tests" / "documents.py")
    assert spec is not None
    assert spec.loader is not None
    documents = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = documents
    spec.loader.exec_module(documents)

    commands = list(documents.commands(ROOT / "docs" / "diff.md"))
    for command in commands:
        documents.run(command, tmp_path)

    assert len(commands) == 5

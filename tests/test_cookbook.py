"""Every block of the cookbook runs, and its output is what the page shows below it."""

import importlib.util
import re
from pathlib import Path

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


def test_fifteen_questions_and_more_are_answered_in_sql_and_some_in_python() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"^## \d+\. .*\?$", written, re.MULTILINE)) >= 15
    assert written.count("```sql\n") >= 15
    assert written.count("```python\n") >= 4
    assert written.count("```text\n") == written.count("```sql\n") + written.count("```python\n")

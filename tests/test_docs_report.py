"""docs/report.md shows what the commands print."""

from pathlib import Path

import documents

PAGE = documents.ROOT / "docs" / "report.md"


def test_the_page_shows_what_is_printed(demonstration: Path, tmp_path: Path) -> None:
    assert documents.run_all(PAGE, tmp_path, demonstration) == 7
    assert documents.run_python(PAGE, tmp_path) > 0

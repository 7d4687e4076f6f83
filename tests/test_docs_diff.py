"""docs/diff.md shows what the commands print."""

from pathlib import Path

import documents


def test_the_page_shows_what_is_printed(demonstration: Path, tmp_path: Path) -> None:
    assert documents.run_all(documents.ROOT / "docs" / "diff.md", tmp_path, demonstration) == 6

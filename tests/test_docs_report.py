"""docs/report.md shows what the commands print."""

import re
import subprocess
import sys
from pathlib import Path

import documents

PAGE = documents.ROOT / "docs" / "report.md"


def test_the_page_shows_what_is_printed(demonstration: Path, tmp_path: Path) -> None:
    assert documents.run_all(PAGE, tmp_path, demonstration) == 7
    blocks = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$",
        PAGE.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    for code, shown in blocks:
        printed = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONPATH": str(documents.ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed.stdout == shown

"""docs/r.md runs in R, line by line, and prints what it shows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from documents import ROOT

PAGE = (ROOT / "docs" / "r.md").read_text("utf-8")
BLOCKS = re.findall(
    r"^```r\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", PAGE, re.MULTILINE | re.DOTALL
)
"""Each block of R with the output that is shown below it."""

PACKAGES = ("DBI", "RSQLite", "hms", "dplyr", "dbplyr", "stringr", "png")


def missing() -> str | None:
    """Name what is not installed here."""
    if shutil.which("Rscript") is None:
        return "R"
    asked = f"cat(setdiff(c({', '.join(map(repr, PACKAGES))}), rownames(installed.packages())))"
    return subprocess.run(
        ["Rscript", "-e", asked], capture_output=True, text=True, check=True
    ).stdout


def test_the_page_runs_in_r(demo_db: Path, tmp_path: Path) -> None:
    if lacking := missing():
        pytest.skip(f"docs/r.md did not run: {lacking} is not installed")
    shutil.copy(demo_db, tmp_path / "dirt.db")
    script = tmp_path / "page.R"
    script.write_text("".join(f"{code}cat('--\\n')\n" for code, _ in BLOCKS), "utf-8")

    done = subprocess.run(
        ["Rscript", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("--\n")[:-1]
    assert printed == [shown for _, shown in BLOCKS]

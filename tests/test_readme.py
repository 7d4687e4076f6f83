"""The README is run: its console blocks, its Python, its links."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import documents

README = documents.ROOT / "README.md"


def test_every_command_prints_what_is_shown(demonstration: Path, tmp_path: Path) -> None:
    n_commands = documents.run_all(README, tmp_path, demonstration)

    assert n_commands > 15


def test_the_python_prints_what_is_shown(demonstration: Path, tmp_path: Path) -> None:
    shutil.copytree(demonstration, tmp_path / "dirtmodel-demo")
    (block,) = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$",
        README.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )

    printed = subprocess.run(
        [sys.executable, "-c", block[0]],
        cwd=tmp_path,
        env={"PYTHONPATH": str(documents.ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert printed.stdout == block[1]
    assert (tmp_path / "first.png").stat().st_size > 0


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text("utf-8"))

    missing = [link for link in links if not (documents.ROOT / link).exists()]

    assert links
    assert missing == []

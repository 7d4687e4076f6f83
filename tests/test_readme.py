"""The README is run: its console blocks, its Python, its links."""

import re
import shutil
from pathlib import Path

import documents

README = documents.ROOT / "README.md"


def test_every_command_prints_what_is_shown(demonstration: Path, tmp_path: Path) -> None:
    n_commands = documents.run_all(README, tmp_path, demonstration)

    assert n_commands > 15


def test_the_python_prints_what_is_shown(demonstration: Path, tmp_path: Path) -> None:
    shutil.copytree(demonstration, tmp_path / "dirtmodel-demo")

    assert documents.run_python(README, tmp_path) == 1
    assert (tmp_path / "first.png").stat().st_size > 0


def test_links_lead_to_existing_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text("utf-8"))

    missing = [link for link in links if not (documents.ROOT / link).exists()]

    assert links
    assert missing == []

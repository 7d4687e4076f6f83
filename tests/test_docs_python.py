"""The pages for Python and for other clients run, and every public name has its place there."""

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT

import dirtmodel as dm

BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    """Return the code of a page with the output that it shows."""
    return BLOCK.findall((ROOT / "docs" / name).read_text("utf-8"))


@pytest.mark.parametrize("name", ["python.md", "clients.md"])
def test_every_block_prints_what_the_page_shows(
    name: str, demo_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dirt.db").hardlink_to(demo_db)
    (tmp_path / "release").symlink_to(demo_db.parent / "release")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = []

    for code, _ in blocks(name):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            # ibis asks for an option that pandas 3 deprecates.
            warnings.filterwarnings("ignore", "The 'future.infer_string' option")
            exec(code, names)  # noqa: S102 - the page's own code
        printed.append(out.getvalue())

    assert printed == [shown for _, shown in blocks(name)]


def test_every_public_name_is_used_on_the_page() -> None:
    code = "".join(code for code, _ in blocks("python.md"))
    page = (ROOT / "docs" / "python.md").read_text("utf-8")

    missing = [n for n in dm.__all__ if not re.search(rf"\bdm\.{n}\b", code + page)]

    assert missing == ["__version__"]

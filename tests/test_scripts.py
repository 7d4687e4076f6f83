"""What can be tested of the scripts without installing anything."""

import re
from pathlib import Path

import pytest

SCRIPTS = [
    path
    for path in sorted((Path(__file__).parent.parent / "scripts").iterdir())
    if path.is_file() and path.suffix != ".py" and not path.name.startswith("_")
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_each_states_what_its_environment_needs(path: Path) -> None:
    text = path.read_text("utf-8")

    assert re.search(
        r'^extras="(\[\w+\])?"\n\. "\$\(dirname "\$0"\)/_environment"\n', text, re.MULTILINE
    )


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_each_can_be_run(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    assert path.read_text("utf-8").startswith("#!/bin/sh\n# ")

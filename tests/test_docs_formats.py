"""docs/formats.md does what it says: its commands are run, one after the other."""

from pathlib import Path

import documents


def test_the_document_can_be_followed(demonstration: Path, tmp_path: Path) -> None:
    commands = list(documents.commands(documents.ROOT / "docs" / "formats.md"))
    for command in commands:
        documents.run(command, tmp_path, before=f"export DIRTMODEL_DB={demonstration}/dirt.db; ")
    assert len(commands) == 6

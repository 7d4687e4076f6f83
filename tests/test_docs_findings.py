"""docs/findings.md lists every finding, as the software words it."""

import re

import documents
import pytest

from dirtmodel.release.findings import ERRORS, WARNINGS

ROW = re.compile(
    r"^\| `(?P<code>[a-z-]+)` \| (?P<meaning>[^|]+) \| (?P<advice>[^|]+) \|$", re.MULTILINE
)


@pytest.mark.parametrize(("title", "findings"), [("Errors", ERRORS), ("Warnings", WARNINGS)])
def test_all_findings_are_listed_in_their_order(title: str, findings: dict[str, str]) -> None:
    _, section = (
        (documents.ROOT / "docs" / "findings.md").read_text("utf-8").split(f"\n## {title}\n")
    )

    listed = {row["code"]: row["meaning"] for row in ROW.finditer(section.split("\n## ")[0])}

    assert list(listed.items()) == list(findings.items())

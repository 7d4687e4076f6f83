"""The examples of the page on agreement run."""

import doctest
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_examples_run() -> None:
    failed, attempted = doctest.testfile(
        str(DOCS / "agreement.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )

    assert (failed, attempted > 0) == (0, True)

"""The page on agreement shows what its commands print."""

import argparse
import doctest
import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import documents
import pytest

PAGE = documents.ROOT / "docs" / "agreement.md"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = documents.ROOT / "scripts" / "coverage.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(command: str) -> str:
    """Return the output that the page shows for a command."""
    block = re.search(
        rf"^\$ {re.escape(command)}\n(.*?)\n```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert block is not None
    return block[1]


def test_the_examples_run() -> None:
    failed, attempted = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )

    assert (failed, attempted > 0) == (0, True)


def test_every_command_prints_what_is_shown(demonstration: Path, tmp_path: Path) -> None:
    shutil.copytree(demonstration, tmp_path / "demo")

    n = 0
    for command in documents.commands(PAGE):
        documents.run(command, tmp_path, before="export DIRTMODEL_DB=demo/dirt.db; ")
        n += 1

    assert n > 3


def test_the_coverage_is_the_one_that_the_script_prints(script: ModuleType) -> None:
    asked = argparse.Namespace(simulations=1000, seed=0, bootstrap=None)

    assert script.intervals(asked) == shown("scripts/coverage")


def test_who_differs_is_identified_as_often_as_shown(script: ModuleType) -> None:
    asked = argparse.Namespace(simulations=100, seed=0)

    assert script.raters(asked) == shown("scripts/coverage --raters --simulations 100")


def test_error_rates_are_covered_as_often_as_shown(script: ModuleType) -> None:
    asked = argparse.Namespace(simulations=100, seed=0)

    assert script.error_rates(asked) == shown("scripts/coverage --rates --simulations 100")

"""The generated pages are up to date with the code."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from dirtmodel.cli import main

ROOT = Path(__file__).parent.parent


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


documentation = load(ROOT / "scripts" / "documentation.py")
COMMANDS = list(documentation.commands())


@pytest.mark.parametrize("name", sorted(documentation.PAGES))
def test_the_page_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == documentation.PAGES[name](), "run: scripts/docs"


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
class TestCommand:
    def test_has_help_and_an_example(self, path: str, command: click.Command) -> None:
        assert command.help
        assert isinstance(command, click.Group) or f"Example: {path}" in command.help

    def test_explains_every_option(self, path: str, command: click.Command) -> None:
        del path
        options = [p for p in command.params if isinstance(p, click.Option)]
        assert [option.name for option in options if not option.help] == []

    def test_prints_the_help_that_the_page_shows(self, path: str, command: click.Command) -> None:
        del command
        shown = CliRunner().invoke(
            main, [*path.split()[1:], "--help"], prog_name="dirtmodel", terminal_width=100
        )
        assert shown.output in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_schema_lists_lookup_mirrored_derived_and_record_tables_and_views() -> None:
    page = documentation.schema()

    listed = re.findall(r"^## `(\w+)`(?: \(view\))?$", page, re.MULTILINE)

    assert listed == [
        *("step", "display", "verdict"),
        *("session", "image", "rating", "coordinate"),
        *("target", "picture", "review", "tally"),
        *("finding", "quarantine", "release", "release_file"),
        *("image_labels", "rating_labels", "coordinate_labels", "review_labels"),
        *("ratings_session", "ratings_image", "ratings_rating", "ratings_clickedcoordinate"),
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_page_shows_how_to_complete_in_the_shell(shell: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"_DIRTMODEL_COMPLETE={shell}_source dirtmodel" in page
    complete = click.shell_completion.get_completion_class(shell)
    assert complete is not None
    source = complete(main, {}, "dirtmodel", "_DIRTMODEL_COMPLETE").source()
    assert "_DIRTMODEL_COMPLETE" in source

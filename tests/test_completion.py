"""Completion in the shell, installed as docs/cli.md describes."""

import os
import re
import shutil
from pathlib import Path

import click
import documents
import pexpect
import pytest

from dirtmodel.cli import main

RC_FILES = {
    "bash": ".bashrc",
    "zsh": ".zshrc",
    "fish": ".config/fish/completions/dirtmodel.fish",
}
PATHS = {"FILE", "FOLDER", "URL", "RELEASE", "OLD", "NEW"}


def documented(shell: str) -> str:
    """Return the lines that the page tells users to add for a shell."""
    page = (documents.ROOT / "docs" / "cli.md").read_text("utf-8")
    found = re.search(rf"^# {shell}\b.*: ~/(\S+)\n((?:.+\n)+)", page, re.MULTILINE)
    assert found is not None
    assert found[1] == RC_FILES[shell]
    return found[2]


@pytest.mark.parametrize("shell", RC_FILES)
def test_tab_completes_commands_options_and_paths(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    rc_file = tmp_path / RC_FILES[shell]
    rc_file.parent.mkdir(parents=True, exist_ok=True)
    rc_file.write_text(documented(shell), "utf-8")
    work = tmp_path / "work"
    (work / "release_3.0").mkdir(parents=True)
    (work / "ours.db").touch()
    environment = {
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "PATH": os.pathsep.join([str(documents.tools(tmp_path)), os.environ["PATH"]]),
        "PYTHONPATH": str(documents.ROOT),
        "TERM": "dumb",
    }
    terminal = pexpect.spawn(
        shell, ["-i"], cwd=work, env=environment, encoding="utf-8", timeout=60, dimensions=(24, 200)
    )
    try:
        for typed, completed in [
            ("dirtmodel cov", "coverage"),
            ("dirtmodel load rel", "release_3.0/"),
            ("dirtmodel info --db ou", "ours.db"),
            ("dirtmodel diff ours.db rel", "release_3.0/"),
        ]:
            terminal.sendcontrol("u")
            terminal.send(f"{typed}\t")
            terminal.expect_exact(completed)
    finally:
        terminal.close(force=True)


@pytest.mark.parametrize("name", main.commands)
def test_every_parameter_that_takes_a_path_completes_paths(name: str) -> None:
    command = main.commands[name]
    context = click.Context(command, info_name=name, resilient_parsing=True)

    lacking = [
        param.name
        for param in command.params
        if str(param.metavar or param.name).upper() in PATHS
        and [item.type for item in param.shell_complete(context, "x")] not in (["file"], ["dir"])
    ]

    assert lacking == []

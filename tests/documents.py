"""Runs the `console` blocks of a document and compares what they print."""

import difflib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = """#!{python}
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    for row in connection.execute(sys.argv[2]):
        print("|".join("" if value is None else str(value) for value in row))
"""


@dataclass(frozen=True)
class Command:
    """A command of a document and the output that it shows; `...` stands for any lines."""

    text: str
    shown: str
    line: int


def commands(document: Path) -> Iterator[Command]:
    """Give the commands of a document in order."""
    text = document.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 2
        for part in re.split(r"^(?=\$ )", block[1], flags=re.MULTILINE):
            if part.startswith("$ "):
                command, _, shown = part[2:].partition("\n")
                while command.endswith("\\"):
                    more, _, shown = shown.partition("\n")
                    command = command[:-1] + more.strip()
                yield Command(command, shown, line)
            line += part.count("\n")


def run(command: Command, folder: Path) -> None:
    """Run a command in a folder, as a user with an empty home, and compare what it prints."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    if shutil.which("sqlite3") is None:
        shim = tools / "sqlite3"
        shim.write_text(_SHELL.format(python=sys.executable), "utf-8")
        shim.chmod(0o755)
    environment = {
        "HOME": str(folder),
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["sh", "-c", command.text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    printed = done.stdout + done.stderr
    if not re.fullmatch(_pattern(command.shown), printed, re.DOTALL):
        diff = "\n".join(
            difflib.unified_diff(
                command.shown.splitlines(), printed.splitlines(), "shown", "printed", lineterm=""
            )
        )
        raise AssertionError(f"line {command.line}: $ {command.text}\n{diff}")


def _pattern(shown: str) -> str:
    return r"(?:[^\n]*\n)*".join(
        re.escape(part) for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)
    )

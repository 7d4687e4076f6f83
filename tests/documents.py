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

import forking

ROOT = forking.ROOT

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = """import sqlite3, sys
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
    """Yield the commands of a document in order."""
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


_DEMO = re.compile(r"dirtmodel demo ?(\w*)(?: >.*)?")


def run_all(document: Path, folder: Path, demonstration: Path) -> int:
    """Run a document's commands, one after the other, and return their number.

    A variable that one command exports is set for the later ones. The demonstration is made once
    for all documents, and copied where a document makes it.
    """
    exported = ""
    found = list(commands(document))
    for command in found:
        if demo := _DEMO.fullmatch(command.text):
            shutil.copytree(demonstration, folder / (demo[1] or "dirtmodel-demo"))
            continue
        run(command, folder, before=exported)
        if command.text.startswith("export "):
            exported += f"{command.text}; "
    return len(found)


def run(command: Command, folder: Path, *, before: str = "", package: Path = ROOT) -> None:
    """Run a command in a folder, as a user with an empty home, and compare what it prints."""
    environment = {
        "HOME": str(folder),
        "PATH": os.pathsep.join(
            [str(tools(folder, package)), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "PYTHONPATH": str(package),
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
    } | {name: value for name, value in os.environ.items() if name.startswith("PG")}
    done = subprocess.run(
        ["sh", "-c", before + command.text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    printed = done.stdout + done.stderr
    if not re.fullmatch(_pattern(command.shown), printed, re.DOTALL):
        diff = "\n".join(
            difflib.unified_diff(
                command.shown.splitlines(), printed.splitlines(), "shown", "printed", lineterm=""
            )
        )
        raise AssertionError(f"line {command.line}: $ {command.text}\n{diff}")


def run_python(document: Path, folder: Path) -> int:
    """Run a document's Python, compare what it prints, and return the number of blocks."""
    blocks = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$",
        document.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    for code, shown in blocks:
        ended, printed, errors = forking.Forked(code, folder=folder, environment={}).finished()
        assert (ended, printed, errors) == (0, shown, "")
    return len(blocks)


def tools(folder: Path, package: Path = ROOT) -> Path:
    """Make sure that `dirtmodel` is the one of a tree, and that there is a `sqlite3`."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    forking.write_program(
        tools / "dirtmodel", "from dirtmodel.__main__ import run; run()", package=package
    )
    if shutil.which("sqlite3") is None:
        forking.write_program(tools / "sqlite3", _SHELL)
    return tools


def _pattern(shown: str) -> str:
    return r"(?:[^\n]*\n)*".join(
        re.escape(part) for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)
    )

"""Write the pages that are made from the code itself, so that they cannot go stale."""

from collections.abc import Iterator
from pathlib import Path

import click

from dirtmodel import cli, database
from dirtmodel.models import views
from dirtmodel.sql.catalogue import relations, type_name

DOCS = Path(__file__).parent.parent / "docs"
WIDTH = 100

SCHEMA_INTRODUCTION = """\
<!-- Written by scripts/docs from the comments in dirtmodel/models/. -->

# The schema

`session`, `image`, `rating` and `coordinate` mirror the release, with its names. `target`,
`picture` and the tables after them are local. The views decode the enums and join what is mostly
wanted together; none of them holds pictures.

On Postgres the same words are COMMENTs in the database; `dirtmodel sql --tables` prints them
anywhere.

Two things to know of any statement:

- In tables, enums are DIRT's numbers (`step = 3`); in views they are names
  (`step = 'FMAP_COREGISTRATION'`).
- On SQLite, times are UTC text like `2025-03-04 15:00:00.000000`; on Postgres `timestamptz`.
"""

CLI_INTRODUCTION = """\
<!-- Written by scripts/docs from the --help of every command. -->

# The command line

Data goes to stdout, everything else to stderr. The exit code is 0 when done, 1 when the answer is
"no" (`diff` found differences, `check` found errors), 2 when it could not be done, 130 after
Ctrl-C.

## Completion in the shell

Commands, options and the names of steps are completed once the shell knows how. Add a line to the
file that your shell reads when it starts:

```
# bash 4.4 or newer: ~/.bashrc
eval "$(_DIRTMODEL_COMPLETE=bash_source dirtmodel)"

# zsh: ~/.zshrc
eval "$(_DIRTMODEL_COMPLETE=zsh_source dirtmodel)"

# fish: ~/.config/fish/completions/dirtmodel.fish
_DIRTMODEL_COMPLETE=fish_source dirtmodel | source
```

"""


def schema() -> str:
    """Write the page on tables and views."""
    return "\n".join([SCHEMA_INTRODUCTION, *_diagram(), *_tables()])


def _diagram() -> Iterator[str]:
    yield "## How the tables hang together\n"
    yield "```mermaid"
    yield "erDiagram"
    for table in database.tables():
        for key in sorted(table.foreign_keys, key=lambda key: str(key.parent)):
            one = "||--||" if key.parent.primary_key else "||--o{"
            yield f'    {key.column.table.name} {one} {table.name} : "{key.parent.name}"'
    for table in database.tables():
        yield f"    {table.name} {{"
        for column in table.columns:
            mark = " PK" if column.primary_key else ""
            mark = (f"{mark}, FK" if mark else " FK") if column.foreign_keys else mark
            yield f"        {type_name(column).replace(' ', '_')} {column.name}{mark}"
        yield "    }"
    yield "```\n"


def _tables() -> Iterator[str]:
    for table in relations():
        is_view = table.metadata is views.metadata
        comment = table.comment or ""
        yield f"## `{table.name}`{' (view)' if is_view else ''}\n"
        yield f"{comment[0].upper()}{comment[1:]}.\n"
        yield "| column | type | what it is |"
        yield "|---|---|---|"
        for column in table.columns:
            null = "" if is_view or not column.nullable else ", or NULL"
            yield f"| `{column.name}` | {type_name(column)}{null} | {column.comment} |"
        yield ""


def commands(
    group: click.Group = cli.main, path: tuple[str, ...] = ("dirtmodel",)
) -> Iterator[tuple[str, click.Command]]:
    """Give every command with the words that call it."""
    yield " ".join(path), group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def reference() -> str:
    """Write the page on the command line."""
    parts = [CLI_INTRODUCTION]
    for path, command in commands():
        context = click.Context(
            command,
            info_name=path,
            terminal_width=WIDTH,
            max_content_width=WIDTH,
            help_option_names=["-h", "--help"],
        )
        parts += [f"## {path}\n", f"```\n{command.get_help(context)}\n```\n"]
    return "\n".join(parts)


PAGES = {"schema.md": schema, "cli.md": reference}

if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    for name, write in PAGES.items():
        (DOCS / name).write_text(write(), encoding="utf-8")
        print(f"Wrote docs/{name}")

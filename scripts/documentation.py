"""Write the pages of the documentation that are generated from the code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from sqlalchemy import orm

from dirtmodel import cli, database
from dirtmodel.models import Base, views
from dirtmodel.sql.catalogue import relations, type_name

DOCS = Path(__file__).parent.parent / "docs"
WIDTH = 100

SCHEMA_INTRODUCTION = """\
<!-- Written by scripts/docs from the comments in dirtmodel/models/. -->

# The schema

| tables and views | hold |
|---|---|
| `step`, `display`, `verdict` | what each number for a step, a display and a verdict means |
| `session`, `image`, `rating`, `coordinate` | the release, with its names of tables and columns |
| `target`, `picture`, `review`, `tally` | rows that are computed from the release |
| `release`, `release_file`, `finding`, `quarantine` | what was loaded, and its findings |
| `image_labels`, `rating_labels`, … (views) | the same rows with names for numbers, and more |
| `ratings_session`, `ratings_image`, … (views) | the release under DIRT's own names, read-only |

A load and `dirtmodel refresh` compute the rows of `target`, `picture`, `review` and `tally`. A
database has further columns and numbers if the loaded release had them: see
[new releases](new-release.md).

- In tables, steps, displays and verdicts are DIRT's numbers (`step = 3`). In the views that end in
  `_labels` they are names (`step = 'FMAP_COREGISTRATION'`).
- On SQLite, times are UTC text such as `2025-03-04 15:00:00.000000`; on Postgres `timestamptz`.
- On Postgres, the descriptions on this page are COMMENTs in the database. On either engine,
  `dirtmodel sql --tables` prints them.
"""

CLI_INTRODUCTION = """\
<!-- Written by scripts/docs from the --help of every command. -->

# The command line

Data goes to stdout, everything else to stderr. The exit code is 0 if the command succeeded, 1 if it
succeeded and the answer is "no" (`diff` found differences, `check` found errors), 2 if it failed,
and 130 after Ctrl-C.

## Completion in the shell

The Tab key completes commands, options, the names of steps, and paths after you add these lines to
a file that the shell reads:

```
# bash 4.4 or newer: ~/.bashrc
eval "$(_DIRTMODEL_COMPLETE=bash_source dirtmodel)"

# zsh: ~/.zshrc
autoload -Uz compinit && compinit
eval "$(_DIRTMODEL_COMPLETE=zsh_source dirtmodel)"

# fish: ~/.config/fish/completions/dirtmodel.fish
_DIRTMODEL_COMPLETE=fish_source dirtmodel | source
```

"""


def schema() -> str:
    """Return the page about tables and views."""
    return "\n".join([SCHEMA_INTRODUCTION, *_diagram(), *_tables()])


def _diagram() -> Iterator[str]:
    yield "## How the tables refer to each other\n"
    yield "```mermaid"
    yield "erDiagram"
    for table in database.tables():
        for key in sorted(table.foreign_keys, key=lambda key: str(key.parent)):
            is_whole_key = list(table.primary_key) == [key.parent]
            one = "||--||" if is_whole_key else "||--o{"
            yield f'    {key.column.table.name} {one} {table.name} : "{key.parent.name}"'
    for table in database.tables():
        yield f"    {table.name} {{"
        for column in table.columns:
            mark = " PK" if column.primary_key else ""
            mark = (f"{mark}, FK" if mark else " FK") if column.foreign_keys else mark
            yield f"        {type_name(column.type).replace(' ', '_')} {column.name}{mark}"
        yield "    }"
    yield "```\n"


def _tables() -> Iterator[str]:
    for table in relations():
        is_view = table.metadata is views.metadata
        comment = table.comment or ""
        yield f"## `{table.name}`{' (view)' if is_view else ''}\n"
        yield f"{comment[0].upper()}{comment[1:]}.\n"
        mapper = MAPPERS.get(table)
        if mapper is not None:
            yield f"In Python: {_class(mapper)}.\n"
        yield f"| column |{' attribute |' if mapper else ''} type | what it is |"
        yield f"|---|{'---|' if mapper else ''}---|---|"
        for column in table.columns:
            null = "" if is_view or not column.nullable else ", or NULL"
            attribute = f" `{mapper.get_property_by_column(column).key}` |" if mapper else ""
            kind = f"{type_name(column.type)}{null}"
            yield f"| `{column.name}` |{attribute} {kind} | {column.comment} |"
        yield ""


MAPPERS = {mapper.local_table: mapper for mapper in Base.registry.mappers}


def _class(mapper: orm.Mapper[Any]) -> str:
    """Return a phrase with the class of a table and its relationships."""
    related = ", ".join(f"`{name}`" for name in sorted(mapper.relationships.keys()))
    name = f"`dirtmodel.{mapper.class_.__name__}`"
    return f"{name}, whose objects lead to others as {related}" if related else name


def commands(
    group: click.Group = cli.main, path: tuple[str, ...] = ("dirtmodel",)
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that call it."""
    yield " ".join(path), group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def reference() -> str:
    """Return the page about the command line."""
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

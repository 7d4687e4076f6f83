"""Print or write the results of a command, and the options for that."""

import contextlib
import functools
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from dirtmodel.cli import options
from dirtmodel.errors import UsageError, nearest

if TYPE_CHECKING:
    from dirtmodel.queries.results import Rows
    from dirtmodel.release import Extension

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Output:
    """The destination and format of the results of a command.

    Parameters
    ----------
    path
        The file to write; None for stdout.
    requested_format
        The value of --format; None to choose by the suffix of the file.
    columns
        The columns of rows, in this order; None for all.
    replace
        True if existing files may be replaced.
    quiet
        True if no messages are printed.
    is_folder
        True if `path` is a folder, for a format that has a file per participant.
    """

    path: Path | None = None
    requested_format: str | None = None
    columns: tuple[str, ...] | None = None
    replace: bool = False
    quiet: bool = False
    is_folder: bool = False

    @property
    def format(self) -> str:
        """The format of rows."""
        from dirtmodel.outputs import format_of

        return format_of(self.path, self.requested_format)

    def emit(self, rows: "Rows[Any]") -> None:
        """Write the rows of a query."""
        schema = rows.schema if self.format == "parquet" else None
        self.emit_rows(rows.columns, rows.values(), schema=schema)

    def emit_rows(
        self, names: Sequence[str], rows: Iterable[Sequence[Any]], *, schema: Any = None
    ) -> None:
        """Write the chosen columns of rows; a file is written completely or not at all."""
        from dirtmodel import outputs

        names, rows, schema = self._select(names, rows, schema)
        if self.path is not None:
            with self.destination(self.path) as file:
                outputs.write(names, rows, self.format, file, schema=schema)
            return
        if self.format == "parquet" and sys.stdout.isatty():
            raise click.UsageError("parquet cannot be printed on a terminal; add -o FILE")
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        stdout = sys.stdout.buffer
        left_out = outputs.write(names, rows, self.format, stdout, schema=schema, width=width)
        if left_out:
            self.warn(
                f"Not shown, because the terminal is too narrow: {', '.join(left_out)}. "
                "Choose with --columns, or write to a file with -o."
            )

    def emit_json(self, value: Any) -> None:
        """Write one JSON object."""
        from dirtmodel import outputs

        self.emit_text(outputs.dumps(value, indent=2) + "\n")

    def emit_text(self, text: str) -> None:
        """Write a text; a file is written completely or not at all."""
        self.refuse_columns()
        if self.path is None:
            click.echo(text, nl=False)
            return
        with self.destination(self.path) as file:
            file.write(text.encode())

    def destination(self, path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file that gets its name when it is complete; see `outputs.destination`."""
        from dirtmodel import outputs

        return outputs.destination(path, replace=self.replace)

    def refuse_existing(self, *paths: Path | None) -> None:
        """Raise an error if a file exists and `replace` is false, before anything is computed."""
        from dirtmodel import outputs

        outputs.refuse_existing([path for path in paths if path], replace=self.replace)

    def warn(self, message: str) -> None:
        """Print a message on stderr, unless `quiet` is true."""
        if not self.quiet:
            options.warn(message)

    def chosen(self, available: Sequence[str]) -> list[str]:
        """Return the columns that `--columns` names, by default all available ones.

        Raises
        ------
        UsageError
            If a column does not exist, or several have the same name.
        """
        if self.columns is None:
            return list(available)
        for name in self.columns:
            if name not in available:
                raise UsageError(
                    f"there is no column {name!r}{nearest(name, available)}; "
                    f"--columns takes {', '.join(available)}"
                )
            if list(available).count(name) > 1:
                raise UsageError(f"several columns are called {name}; rename them with AS")
        return list(self.columns)

    def refuse_columns(self) -> None:
        """Raise UsageError if `--columns` is given, for output that is not rows."""
        if self.columns is not None:
            raise UsageError(
                "--columns is for rows; choose another --format, such as csv, or leave it out"
            )

    def _select(
        self, available: Sequence[str], rows: Iterable[Sequence[Any]], schema: Any
    ) -> tuple[list[str], Iterable[Sequence[Any]], Any]:
        """Return the names, rows and Arrow schema of the chosen columns."""
        names = self.chosen(available)
        if names == list(available):
            return names, rows, schema
        places = [list(available).index(name) for name in names]
        if schema is not None:
            import pyarrow as pa

            schema = pa.schema([schema.field(place) for place in places])
        return names, ([row[place] for place in places] for row in rows), schema


def _split(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def results(
    *formats: str, help_: str = "Write to FILE instead of stdout."
) -> Callable[[_Command], _Command]:
    """Add the options of commands that print rows, as one parameter, `output`.

    Parameters
    ----------
    formats
        Further formats of the command; if there are any, -o may be a folder.
    help_
        The help text of -o.
    """
    path_type = click.Path(dir_okay=bool(formats))
    added = (
        click.option(
            "--columns",
            metavar="A,B,C",
            callback=_split,
            help="Print these columns only, in this order.",
        ),
        click.option(
            "--format",
            "format_",
            type=click.Choice(["table", "csv", "tsv", "json", "ndjson", "parquet", *formats]),
            help="How to write the rows.  [default: by the suffix of FILE, else table]",
        ),
        click.option("-o", "--output", "path", metavar="FILE", type=path_type, help=help_),
        options.replace,
        options.quiet,
    )

    def add(command: _Command) -> _Command:
        @functools.wraps(command)
        def with_one(
            *args: Any,
            path: str | None,
            format_: str | None,
            columns: tuple[str, ...] | None,
            replace: bool,
            quiet: bool,
            **given: Any,
        ) -> Any:
            place = None if path in {None, "-"} else Path(str(path))
            # `Path` drops a slash at the end.
            is_folder = bool(formats and place and (str(path).endswith("/") or place.is_dir()))
            output = Output(place, format_, columns, replace, quiet, is_folder)
            if not is_folder:
                output.refuse_existing(place)
            return command(*args, output=output, **given)

        decorated: Any = with_one
        for option in reversed(added):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]  # callable alike

    return add


def write_migration(extension: "Extension", name: str, path: Path, output: Output) -> None:
    """Write an Alembic revision that adds what the schema lacks, if anything."""
    from dirtmodel.drift import migration_text

    if not extension:
        output.warn(f"The schema needs no change; {path} was not written.")
        return
    text = migration_text(extension, name, path)
    with output.destination(path) as file:
        file.write(text.encode())
    output.warn(f"Wrote {path}; move it to migrations/versions/ and run: dirtmodel upgrade")

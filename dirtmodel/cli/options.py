"""Options that several commands share, and how results leave."""

import contextlib
import enum
import functools
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from dirtmodel.cli import columns
from dirtmodel.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import orm

    from dirtmodel.queries.results import Rows
    from dirtmodel.release import Extension

    _ParamType = click.ParamType[Any]
else:
    # Generic in recent versions of click only.
    _ParamType = click.ParamType

_Command = TypeVar("_Command", bound=Callable[..., Any])

PLACE: Final = click.Path(readable=False)
"""A path or a URL, unchecked; the shell completes paths."""

EXISTING_RELEASE: Final = click.argument("release", metavar="RELEASE", type=PLACE)

database: Final = click.option(
    "--db",
    metavar="URL",
    type=PLACE,
    envvar="DIRTMODEL_DB",
    default="dirt.db",
    show_default="$DIRTMODEL_DB, else dirt.db",
    help="SQLite file or SQLAlchemy URL (postgresql://user@host/database).",
)


REPLACE_HELP: Final = "Replace files that exist."
_REPLACE: Final = "dirtmodel.replace"


def _allow_replacing(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[_REPLACE] = value


replace: Final = click.option(
    "--replace",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_allow_replacing,
    help=REPLACE_HELP,
)
"""Read by everything here that writes a file, so that no command has to pass it on."""


def may_replace() -> bool:
    """Return whether the command that runs was given --replace."""
    return bool(click.get_current_context().meta[_REPLACE])


def named_file(_ctx: click.Context, _param: click.Parameter, path: Any) -> Any:
    """Take - for stdout, and refuse a file that exists before anything is computed for it."""
    if path is None or str(path) == "-":
        return None
    _refuse_existing(Path(path))
    return path


def _refuse_existing(path: Path) -> None:
    from dirtmodel import outputs

    outputs.refuse_existing([path], replace=may_replace())


output: Final = click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=named_file,
    help="Write to FILE instead of stdout.",
)


def output_format(*more: str) -> Callable[[_Command], _Command]:
    """Add the option --format to a command, with further formats beside the common ones."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "csv", "tsv", "json", "ndjson", "parquet", *more]),
        help="How to write the rows.  [default: by the suffix of FILE, else table]",
    )


report_format: Final = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)
quiet: Final = click.option("-q", "--quiet", is_flag=True, help="Show no progress and no warnings.")


extend: Final = click.option(
    "--extend",
    is_flag=True,
    help="Accept numbers of steps, displays and verdicts that DIRT does not define.",
)


def _new_revision(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Reject a file that no revision can be written to before anything is read."""
    if path is not None:
        from dirtmodel.drift import check_path

        check_path(path)
        _refuse_existing(path)
    return path


migration: Final = click.option(
    "--migration",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_new_revision,
    metavar="FILE",
    help="Write an Alembic revision for what the schema lacks, such as 0004_release_4.py.",
)


class EnumParam(_ParamType):
    """A member of one of DIRT's enums: in any case, with - or _, or as its number."""

    def __init__(self, name: str) -> None:
        self.name = name.lower()
        self._enum_name = name

    def _enum(self) -> Any:
        from dirtmodel import models

        return getattr(models, self._enum_name)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> enum.IntEnum:
        """Find the member, or say which there are."""
        from dirtmodel.models import member_of

        try:
            return member_of(self._enum(), value)  # type: ignore[no-any-return]  # of that enum
        except UsageError as error:
            return self.fail(str(error), param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the members' names to the shell."""
        names = (member.name.lower() for member in self._enum())
        return [CompletionItem(name) for name in names if name.startswith(incomplete.lower())]


STEP: Final = EnumParam("Step")
DISPLAY: Final = EnumParam("DisplayMode")


def _key(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> bytes | None:
    """Read the key; a line break at its end, which editors add, is not part of it."""
    if path is None:
        return None
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UsageError(
            f"cannot read the key of the pseudonyms from {path}: {error.strerror}; name another "
            "file, or leave --pseudonyms-key out"
        ) from error


_PSEUDONYMS: Final = click.option(
    "--pseudonyms", is_flag=True, help="Call raters rater-01 and so on, and omit notes."
)
_PSEUDONYMS_KEY: Final = click.option(
    "--pseudonyms-key",
    type=click.Path(path_type=Path),
    callback=_key,
    metavar="FILE",
    help="Number them with the key in FILE.  [default: a key that everyone with the release has]",
)


def pseudonyms(command: _Command) -> _Command:
    """Add the options for pseudonyms as one parameter, `pseudonyms`: False, True or the key."""

    @functools.wraps(command)
    def with_one(*args: Any, pseudonyms: bool, pseudonyms_key: bytes | None, **given: Any) -> Any:
        chosen = pseudonyms if pseudonyms_key is None else pseudonyms_key
        return command(*args, pseudonyms=chosen, **given)

    return _PSEUDONYMS(_PSEUDONYMS_KEY(with_one))  # type: ignore[return-value]  # callable alike


def results(command: _Command) -> _Command:
    """Add --columns, --format, -o and --replace."""
    return columns.option(output_format()(output(replace(command))))


@contextlib.contextmanager
def opened(db: str, pseudonyms: bool | bytes = False) -> "Iterator[orm.Session]":
    """Open the database read-only, with pseudonyms of raters where they are wanted."""
    from dirtmodel import opening
    from dirtmodel.pseudonyms import use_pseudonyms

    with opening.open(db) as session:
        use_pseudonyms(session, pseudonyms)
        yield session


def destination(path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    """Open a file that takes its name only when it is complete, by the rule of `outputs`."""
    from dirtmodel import outputs

    return outputs.destination(path, replace=may_replace())


def emit(rows: "Rows[Any]", format_: str | None, path: Path | None) -> None:
    """Write a query's rows where and how they were asked for."""
    from dirtmodel.outputs import format_of

    schema = rows.schema if format_of(path, format_) == "parquet" else None
    emit_rows(rows.columns, rows.values(), format_, path, schema=schema)


def emit_rows(
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    format_: str | None,
    path: Path | None,
    *,
    schema: Any = None,
) -> None:
    """Write rows to stdout or a file, atomically there; of these the chosen columns."""
    from dirtmodel import outputs

    chosen = outputs.format_of(path, format_)
    names, rows, schema = columns.select(names, rows, schema)
    if path is not None:
        with destination(path) as file:
            outputs.write(names, rows, chosen, file, schema=schema)
        return
    if chosen == "parquet" and sys.stdout.isatty():
        raise click.UsageError("parquet is not for terminals; add -o FILE")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    left_out = outputs.write(names, rows, chosen, sys.stdout.buffer, schema=schema, width=width)
    if left_out:
        warn(
            f"Not shown, because the terminal is too narrow: {', '.join(left_out)}. "
            "Choose with --columns, or write to a file with -o."
        )


def emit_json(value: Any, path: Path | None = None) -> None:
    """Write one JSON object."""
    from dirtmodel import outputs

    emit_text(outputs.dumps(value, indent=2) + "\n", path)


def emit_text(text: str, path: Path | None) -> None:
    """Write a text to stdout or a file, atomically there."""
    columns.refuse()
    if path is None:
        click.echo(text, nl=False)
        return
    with destination(path) as file:
        file.write(text.encode())


def write_migration(extension: "Extension", name: str, path: Path) -> None:
    """Write what the schema lacks as an Alembic revision, or say that it lacks nothing."""
    from dirtmodel.drift import migration_text

    if not extension:
        warn(f"The schema lacks nothing; {path} was not written.")
        return
    text = migration_text(extension, name, path)
    with destination(path) as file:
        file.write(text.encode())
    warn(f"Wrote {path}; move it to migrations/versions/ and run: dirtmodel upgrade")


def warn(message: str) -> None:
    """Print a message on stderr."""
    click.echo(message, err=True)


def missing_step(session: "orm.Session") -> str:
    """List the steps to choose from, and how much of each has been reviewed."""
    from dirtmodel.queries.coverage import Coverage

    steps = ", ".join(
        f"{row.step.name.lower()} ({row.n_reviews:,} reviews)" for row in Coverage().run(session)
    )
    return f"Missing option '--step': choose one of {steps or 'none, the database is empty'}"

"""Options that several commands share."""

import contextlib
import enum
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from dirtmodel.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import orm

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


replace: Final = click.option("--replace", is_flag=True, help="Replace files that exist.")

report_format: Final = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)


def _silence(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    """Silence what the library logs, for as long as the command runs."""
    if value:
        logger = logging.getLogger("dirtmodel")
        ctx.call_on_close(functools.partial(logger.setLevel, logger.level))
        logger.setLevel(logging.ERROR)
    return value


quiet: Final = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    callback=_silence,
    help="Show no progress and no warnings.",
)


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


@contextlib.contextmanager
def opened(db: str, pseudonyms: bool | bytes = False) -> "Iterator[orm.Session]":
    """Open the database read-only, with pseudonyms of raters where they are wanted."""
    from dirtmodel import opening
    from dirtmodel.pseudonyms import use_pseudonyms

    with opening.open(db) as session:
        use_pseudonyms(session, pseudonyms)
        yield session


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

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
    # Only recent versions of click have a generic class.
    _ParamType = click.ParamType

_Command = TypeVar("_Command", bound=Callable[..., Any])

PLACE: Final = click.Path(readable=False)
"""A path or a URL, which is not checked; the shell completes paths."""

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


replace: Final = click.option("--replace", is_flag=True, help="Replace existing files.")

report_format: Final = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Text for people, or JSON for programs.",
)


def _silence(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    """Silence the log of the library while the command runs."""
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
    """Check the name of the file early, before a release is read."""
    if path is not None:
        from dirtmodel.drift import check_path

        check_path(path)
    return path


migration: Final = click.option(
    "--migration",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_new_revision,
    metavar="FILE",
    help="Write an Alembic revision that adds what the schema lacks, such as 0004_release_4.py.",
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
        """Return the member, or fail with a message that lists all members."""
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
        """Return the names of members that the shell can complete."""
        names = (member.name.lower() for member in self._enum())
        return [CompletionItem(name) for name in names if name.startswith(incomplete.lower())]


STEP: Final = EnumParam("Step")
DISPLAY: Final = EnumParam("DisplayMode")


def _key(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> bytes | None:
    """Return the contents of the file, without the line break that editors add at its end."""
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
    "--pseudonyms", is_flag=True, help="Replace names of raters by rater-01, …, and omit notes."
)
_PSEUDONYMS_KEY: Final = click.option(
    "--pseudonyms-key",
    type=click.Path(path_type=Path),
    callback=_key,
    metavar="FILE",
    help="Number the raters with the secret key in FILE.  [default: a key that everyone with the "
    "release has]",
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
    """Open the database read-only, with pseudonyms of raters if requested."""
    from dirtmodel import opening
    from dirtmodel.pseudonyms import use_pseudonyms

    with opening.open(db) as session:
        use_pseudonyms(session, pseudonyms)
        yield session


def warn(message: str) -> None:
    """Print a message on stderr."""
    click.echo(message, err=True)


def missing_step(session: "orm.Session") -> str:
    """Return a message that lists the steps and their numbers of reviews."""
    from dirtmodel.queries.coverage import Coverage

    steps = ", ".join(
        f"{row.step.name.lower()} ({row.n_reviews:,} reviews)" for row in Coverage().run(session)
    )
    return f"Missing option '--step': choose one of {steps or 'none, the database is empty'}"

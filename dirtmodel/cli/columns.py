"""The option `--columns`: which columns of its rows a command prints."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from dirtmodel.errors import UsageError, nearest

_CHOSEN: Final = __name__


def _keep(ctx: click.Context, _param: click.Parameter, text: str | None) -> None:
    if text is not None:
        ctx.meta[_CHOSEN] = [name.strip() for name in text.split(",")]


# Not a parameter of the commands: it concerns only what leaves through `options.emit`.
option: Final = click.option(
    "--columns",
    metavar="A,B,C",
    expose_value=False,
    callback=_keep,
    help="Print these columns only, in this order.",
)


def chosen(available: Sequence[str]) -> list[str]:
    """Return the columns that `--columns` names, or all that are available.

    Raises
    ------
    UsageError
        If there is no such column, or more than one.
    """
    context = click.get_current_context(silent=True)
    names: list[str] | None = context.meta.get(_CHOSEN) if context is not None else None
    if names is None:
        return list(available)
    for name in names:
        if name not in available:
            raise UsageError(
                f"there is no column {name!r}{nearest(name, available)}; "
                f"--columns takes {', '.join(available)}"
            )
        if list(available).count(name) > 1:
            raise UsageError(f"several columns are called {name}; rename them with AS")
    return names


def select(
    available: Sequence[str], rows: Iterable[Sequence[Any]], schema: Any
) -> tuple[list[str], Iterable[Sequence[Any]], Any]:
    """Reduce rows, and their Arrow schema if there is one, to the chosen columns."""
    names = chosen(available)
    if names == list(available):
        return names, rows, schema
    places = [list(available).index(name) for name in names]
    if schema is not None:
        import pyarrow as pa

        schema = pa.schema([schema.field(place) for place in places])
    return names, ([row[place] for place in places] for row in rows), schema


def refuse() -> None:
    """Refuse `--columns` where no rows are printed."""
    if _CHOSEN in click.get_current_context().meta:
        raise UsageError(
            "--columns is for rows; choose another --format, such as csv, or leave it out"
        )

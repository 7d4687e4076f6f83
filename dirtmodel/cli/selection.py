"""The options of commands that write pictures: which, and where to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from dirtmodel.cli import options
from dirtmodel.entities import SCANS

_Command = TypeVar("_Command", bound=Callable[..., Any])


def output(example: str, *suffixes: str) -> Callable[[_Command], _Command]:
    """Add the option -o, which is required: pictures are not printed."""
    names = " or ".join(suffixes)
    metavar = "FILE" if suffixes else "FOLDER"

    def check(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path:
        if path is None or str(path) == "-":
            raise click.UsageError(
                f"pictures are not for stdout; say where they go, for example -o {example}"
            )
        if suffixes and path.suffix.lower() not in suffixes:
            raise click.UsageError(f"{path} is no {names} file; write for example -o {example}")
        return path

    return click.option(
        "-o",
        "--output",
        "path",
        metavar=metavar,
        type=click.Path(dir_okay=not suffixes, file_okay=bool(suffixes), path_type=Path),
        callback=check,
        help=f"Write to this {names or 'folder'}{' file' if suffixes else ', made if need be'}.",
    )


replace: Final = click.option("--replace", is_flag=True, help="Overwrite files that are there.")

_CONDITIONS: Final = (
    click.option("--step", type=options.STEP, multiple=True, help="Only this step."),
    click.option("--sub", multiple=True, metavar="LABEL", help="Only this participant."),
    click.option("--ses", multiple=True, metavar="LABEL", help="Only this scanning session."),
    click.option("--task", multiple=True, metavar="LABEL", help="Only this task."),
    click.option("--run", "run_number", multiple=True, metavar="N", help="Only this run."),
    click.option(
        "--scan",
        type=click.Choice(SCANS, case_sensitive=False),
        multiple=True,
        help="Only this raw acquisition.",
    ),
    click.option("--display", type=options.DISPLAY, multiple=True, help="Only this axis."),
    click.option("--slice", multiple=True, metavar="N", help="Only this slice."),
    click.option(
        "--status",
        type=click.Choice(["excluded", "kept", "unreviewed", "partial"], case_sensitive=False),
        multiple=True,
        help="Only targets of this status by the default rule of `dirtmodel exclusions`; of "
        "excluded ones the bad images.",
    ),
    click.option("--id", multiple=True, metavar="ID", help="Only this image."),
)


def conditions(command: _Command) -> _Command:
    """Add the options that select images; each may be repeated."""
    for option in reversed(_CONDITIONS):
        command = option(command)
    return command


def images(conditions: dict[str, Any]) -> Any:
    """Return the query for the images that the options select."""
    from dirtmodel.queries.images import Images

    return Images(**{name: value or None for name, value in conditions.items()})

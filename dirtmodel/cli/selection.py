"""The options of commands that write pictures: which, and where to."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from dirtmodel.cli import options
from dirtmodel.entities import SCANS

_Command = TypeVar("_Command", bound=Callable[..., Any])

_STDOUT: Final = "-"


def output(
    example: str, *suffixes: str, stdout: bool = False, what: str = "pictures are"
) -> Callable[[_Command], _Command]:
    """Add the option -o, which is required.

    Parameters
    ----------
    example
        What messages propose to write.
    suffixes
        Those that a file may have; none for a folder.
    stdout
        Whether - may stand for stdout, if that is not a terminal.
    what
        What is written, and the verb, for messages.
    """
    names = " or ".join(filter(None, (", ".join(suffixes[:-1]), *suffixes[-1:])))
    metavar = "FILE" if suffixes else "FOLDER"

    def check(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path:
        from dirtmodel import outputs

        is_stdout = str(path) == _STDOUT
        if path is None or (is_stdout and (not stdout or sys.stdout.isatty())):
            where = "a terminal" if stdout else "stdout"
            raise click.UsageError(
                f"{what} not for {where}; say where they go, for example -o {example}"
            )
        is_named = not (is_stdout or outputs.is_stream(path))
        if suffixes and is_named and path.suffix.lower() not in suffixes:
            raise click.UsageError(f"{path} is not a {names} file; write for example -o {example}")
        return path

    return click.option(
        "-o",
        "--output",
        "path",
        metavar=metavar,
        type=click.Path(dir_okay=not suffixes, file_okay=bool(suffixes), path_type=Path),
        callback=check,
        help=f"Write to this {names or 'folder'}{' file' if suffixes else ', made if need be'}"
        f"{'; - is stdout' if stdout else ''}.",
    )


def save(data: bytes, path: Path, *, replace: bool) -> None:
    """Write a picture to the file, or to stdout."""
    from dirtmodel import outputs

    if str(path) == _STDOUT:
        sys.stdout.buffer.write(data)
    else:
        outputs.save(data, path, replace=replace)


replace: Final = click.option("--replace", is_flag=True, help=options.REPLACE_HELP)

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

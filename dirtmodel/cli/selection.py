"""Options for the targets and images of a command, and for the file that it writes."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from dirtmodel.cli import options
from dirtmodel.entities import SCANS

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Option = Callable[[Any], Any]

_STDOUT: Final = "-"


def output(
    example: str, *suffixes: str, stdout: bool = False, what: str = "pictures are"
) -> Callable[[_Command], _Command]:
    """Add the option -o, which is required.

    Parameters
    ----------
    example
        The file or folder that messages suggest.
    suffixes
        The suffixes that the file may have; none for a folder.
    stdout
        True if - means stdout, unless stdout is a terminal.
    what
        The noun for the output and its verb, for messages.
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
        help=f"Write to this {names or 'folder'}{' file' if suffixes else ', created if necessary'}"
        f"{'; - is stdout' if stdout else ''}.",
    )


def save(data: bytes, path: Path, *, replace: bool) -> None:
    """Write a picture to the file, or to stdout."""
    from dirtmodel import outputs

    if str(path) == _STDOUT:
        sys.stdout.buffer.write(data)
    else:
        outputs.save(data, path, replace=replace)


class _StepsParam(options.EnumParam):
    """A step, or `all`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the step, or None for `all`."""
        return None if str(value).lower() == "all" else super().convert(value, param, ctx)


def _given(_ctx: click.Context, _param: click.Parameter, values: tuple[Any, ...]) -> Any:
    """Return the values of a condition, or None if there is no restriction."""
    return None if not values or None in values else values


def _condition(
    *names: str, only: str, type_: Any = str, metavar: str | None = None, default: str = ""
) -> _Option:
    return click.option(
        *names,
        type=type_,
        metavar=metavar,
        multiple=True,
        callback=_given,
        help=f"Only {only}; may be repeated.{default}",
    )


_SCAN: Final = click.Choice(SCANS, case_sensitive=False)
_STATUS: Final = click.Choice(["excluded", "kept", "unreviewed", "partial"], case_sensitive=False)

steps: Final = _condition(
    "--step",
    type_=_StepsParam("Step"),
    metavar="STEP",
    only="this step",
    default="  [default: all steps]",
)
_TARGETS: Final = (
    steps,
    _condition("--sub", metavar="LABEL", only="this participant"),
    _condition("--ses", metavar="LABEL", only="this scanning session"),
    _condition("--task", metavar="LABEL", only="this task"),
    _condition("--run", "run_number", metavar="N", only="this run"),
    _condition("--scan", type_=_SCAN, only="this raw acquisition"),
)
_IMAGES: Final = (
    *_TARGETS,
    _condition("--display", type_=options.DISPLAY, only="this axis"),
    _condition("--slice", metavar="N", only="this slice"),
    _condition(
        "--status",
        type_=_STATUS,
        only="images of targets with this status by the default rule of `dirtmodel exclusions`; of "
        "excluded targets, only bad images",
    ),
    _condition("--id", metavar="ID", only="this image"),
)


def targets(command: _Command) -> _Command:
    """Add the conditions of `Targets`."""
    return _with(_TARGETS, command)


def images(command: _Command) -> _Command:
    """Add the conditions of `Images`."""
    return _with(_IMAGES, command)


def _with(conditions: Sequence[_Option], command: _Command) -> _Command:
    for option in reversed(conditions):
        command = option(command)
    return command

"""The command line: the only place that prints or exits.

Every command calls a function of the package and only adds options and messages. A command imports
the modules that load slowly in its function, so that `--help` is fast.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from dirtmodel._version import __version__
from dirtmodel.cli import (
    agreement,
    browse,
    check,
    consensus,
    coverage,
    demo,
    diff,
    exclusions,
    export,
    extract,
    heatmap,
    image,
    info,
    load,
    refresh,
    report,
    sheet,
    signals,
    sql,
    terminal,
    upgrade,
)
from dirtmodel.errors import DirtmodelError, OutputError, shortage

FAILED = 2
INTERRUPTED = 130
"""The exit code that shells use for a command that Ctrl-C ended."""

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a stdout that goes to a file on a full disk."""


class _WithoutPandas:
    """A module finder that hides pandas, which no command needs.

    If pandas is installed, pyarrow imports it as soon as it converts a Python value. That takes a
    third of the time of a small load.
    """

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


class _Main(click.Group):
    """The command group; it turns errors of `dirtmodel.errors` into one line and exit code 2."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program; other programs and tests call `main` instead."""
        sys.meta_path.insert(0, _WithoutPandas())
        terminal.protect()
        if sys.stdout is None:
            # The caller has closed stdout, so the output is not wanted.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
        with signals.handled():
            return super().__call__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; it succeeds if the reader of stdout, such as `head`, stops early."""
        try:
            with signals.reported():
                code = super().invoke(ctx)
                sys.stdout.flush()
        except BrokenPipeError:
            _drop_stdout()
            return 0
        except (MemoryError, OSError, RuntimeError, ImportError) as error:
            if missing := shortage(error):
                raise DirtmodelError(missing) from error
            if not isinstance(error, OSError) or error.errno not in _UNWRITABLE:
                raise
            _drop_stdout()
            raise OutputError(
                f"cannot write to stdout: {error.strerror}; write to a file with -o instead"
            ) from error
        return code

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002 - click's signature; the exits are ours
        **extra: Any,
    ) -> NoReturn:
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except DirtmodelError as error:
            code = _fail(str(error))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = 2
        except click.ClickException as error:
            code = _fail(_message(error))
        except (click.Abort, KeyboardInterrupt):
            # The terminal may be gone.
            with contextlib.suppress(OSError):
                click.echo("Interrupted.", err=True)
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    click.secho("Error: ", fg="red", nl=False, file=terminal.unprotected(sys.stderr))
    click.echo(message, err=True)
    return FAILED


def _message(error: click.ClickException) -> str:
    """Return the message of an error of click as one line that says what to do next."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or ";" in message:
        return message
    see = " See" if message.endswith("?") else "; see"
    return f"{message}{see} {context.command_path} -h"


def _drop_stdout() -> None:
    """Discard buffered output, for which Python would report the error again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """The manual QC of A2CPS neuroimaging derivatives as a local database.

    Load a release once. Then ask which scans to exclude, how much has been reviewed, or anything
    else in SQL. Data goes to stdout, everything else to stderr. The exit code is 0 if the command
    succeeded, 1 if it succeeded and the answer is "no", and 2 if it failed.
    """


for command in (
    demo.demo,
    load.load,
    check.check,
    info.info,
    exclusions.exclusions,
    coverage.coverage,
    agreement.agreement,
    consensus.consensus,
    image.image,
    sheet.sheet,
    heatmap.heatmap,
    extract.extract,
    report.report,
    sql.sql,
    diff.diff,
    export.export,
    browse.browse,
    refresh.refresh,
    upgrade.upgrade,
):
    main.add_command(command)

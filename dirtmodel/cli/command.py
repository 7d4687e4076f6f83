"""The class of all commands."""

from pathlib import Path
from typing import Any

import click


class Command(click.Command):
    """Suggests `--db` if a database was given as an argument, and requires text to be UTF-8."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options and arguments; raise UsageError if there are too many arguments."""
        ctx.allow_extra_args = True
        left_over = super().parse_args(ctx, args)
        for param in self.params:
            # A path may contain any bytes.
            if param.name in ctx.params and not isinstance(param.type, click.Path):
                _require_utf8(ctx.params[param.name], ctx, param)
        if left_over and not ctx.resilient_parsing:
            # The message does not repeat the argument: a URL may contain a password.
            message = "there is an argument too many"
            if any("--db" in param.opts for param in self.params):
                names = [p.make_metavar(ctx) for p in self.params if isinstance(p, click.Argument)]
                database = left_over[-1] if Path(left_over[-1]).exists() else "URL"
                example = " ".join([ctx.command_path, *names, "--db", database])
                message += f"; a database is named with --db: {example}"
            raise click.UsageError(message, ctx)
        return left_over


def _require_utf8(value: Any, ctx: click.Context, param: click.Parameter) -> None:
    """Raise BadParameter for bytes that are not UTF-8; Python keeps these as surrogates."""
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, tuple):
            _require_utf8(text, ctx, param)
        elif isinstance(text, str) and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                message = f"{text!r} is not UTF-8 text; type it as UTF-8"
                raise click.BadParameter(message, ctx, param) from None

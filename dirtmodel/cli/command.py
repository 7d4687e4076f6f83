"""The class of all commands."""

from pathlib import Path

import click


class Command(click.Command):
    """Names `--db` where a database was given as an argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options and arguments; anything left over is an error."""
        ctx.allow_extra_args = True
        left_over = super().parse_args(ctx, args)
        if left_over and not ctx.resilient_parsing:
            # Not repeated in the message: a URL may hold a password.
            message = "there is an argument too many"
            if any("--db" in param.opts for param in self.params):
                names = [p.make_metavar(ctx) for p in self.params if isinstance(p, click.Argument)]
                database = left_over[-1] if Path(left_over[-1]).exists() else "URL"
                example = " ".join([ctx.command_path, *names, "--db", database])
                message += f"; a database is named with --db: {example}"
            raise click.UsageError(message, ctx)
        return left_over

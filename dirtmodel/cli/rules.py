"""The options of an exclusion rule, for every command that applies one."""

import itertools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from dirtmodel.cli.command import Command

if TYPE_CHECKING:
    _Choice = click.Choice[Any]
else:
    # Only recent versions of click have a generic class.
    _Choice = click.Choice

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Rule(_Choice):
    """A rule, which may be `min-fails N`."""

    name = "rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return `min-fails N` unchanged; other values must be one of the choices."""
        if re.fullmatch(r"min-fails[ =:]+\d+", str(value)):
            return value
        return super().convert(value, param, ctx)


class RuleCommand(Command):
    """A command that also accepts `--rule min-fails 2` without quotes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the number to the rule before the options are read."""
        joined: list[str] = []
        for before, argument in itertools.pairwise(["", *args]):
            is_rule = joined[-2:] == ["--rule", "min-fails"] or before == "--rule=min-fails"
            if is_rule and argument.isdecimal():
                joined[-1] += f" {argument}"
            else:
                joined.append(argument)
        return super().parse_args(ctx, joined)


_OPTIONS: Final = (
    click.option(
        "--rule",
        type=_Rule(["any-fail", "majority", "unanimous", "min-fails"]),
        default="any-fail",
        show_default=True,
        metavar="RULE",
        help="On steps judged by verdict (fmap_coregistration, dtifit): when an image is bad: "
        "any-fail, majority, unanimous, or min-fails N.",
    ),
    click.option("--min-fails", type=int, metavar="N", help="The N of --rule min-fails N."),
    click.option(
        "--unsure",
        type=click.Choice(["pass", "fail", "ignore"], case_sensitive=False),
        default="ignore",
        show_default=True,
        help="On steps judged by verdict: how UNSURE is counted.",
    ),
    click.option(
        "--min-clicks",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="On steps judged by clicks (mask, spatial_normalization, surface_localization): a "
        "review is bad with N clicks or more.",
    ),
    click.option(
        "--min-raters",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="On steps judged by clicks: an image is bad with N bad reviews or more; if N is above "
        "1, they must be by N different named raters.",
    ),
    click.option("--latest", is_flag=True, help="Use only each rater's latest review of an image."),
    click.option(
        "--source-data-issue",
        is_flag=True,
        help="Also exclude targets whose raw data a reviewer flagged.",
    ),
    click.option(
        "--level",
        type=click.Choice(["target", "scan", "session", "participant"], case_sensitive=False),
        default="scan",
        show_default=True,
        help="The unit that is excluded as a whole if a target in it is excluded.",
    ),
    click.option(
        "--images",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="A target is excluded with N bad images or more.",
    ),
)


def _every(
    _ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...] | None:
    return None if "all" in value else value


status: Final = click.option(
    "--status",
    type=click.Choice(["excluded", "kept", "unreviewed", "partial", "all"], case_sensitive=False),
    multiple=True,
    default=["excluded"],
    show_default=True,
    callback=_every,
    help="The rows to return; may be repeated.",
)


def exclusion_rule(command: _Command) -> _Command:
    """Add all fields of `Exclusions` except `step` and `status` as options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command

"""The options of an exclusion rule, for every command that applies one."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--rule",
        type=click.Choice(["any-fail", "majority", "unanimous", "min-fails"]),
        default="any-fail",
        show_default=True,
        help="How verdicts make an image bad (fmap_coregistration, dtifit).",
    ),
    click.option("--min-fails", type=int, metavar="N", help="FAILs needed; with --rule min-fails."),
    click.option(
        "--unsure",
        type=click.Choice(["pass", "fail", "ignore"]),
        default="ignore",
        show_default=True,
        help="What an UNSURE counts as.",
    ),
    click.option(
        "--min-clicks",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="Clicks that make a review bad (mask, spatial_normalization, surface_localization).",
    ),
    click.option(
        "--min-raters",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="Raters whose reviews must be bad; above 1 only named raters count.",
    ),
    click.option("--latest", is_flag=True, help="Only each rater's latest review of an image."),
    click.option(
        "--source-data-issue", is_flag=True, help="Also exclude where the raw data were flagged."
    ),
    click.option(
        "--level",
        type=click.Choice(["target", "scan", "session", "participant"]),
        default="scan",
        show_default=True,
        help="What is excluded as a whole.",
    ),
    click.option(
        "--images",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="Bad images that a target needs.",
    ),
)


def exclusion_rule(command: _Command) -> _Command:
    """Give a command all fields of `Exclusions` but `step` and `status` as options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command

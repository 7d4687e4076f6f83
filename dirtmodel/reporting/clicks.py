"""The heat maps of the report: a small picture for each slice, and the counts as text."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import orm

from dirtmodel.draw import encode, heatmaps
from dirtmodel.errors import UsageError
from dirtmodel.models import DisplayMode, JudgedBy, Step, lookups
from dirtmodel.pages import Picture
from dirtmodel.pictures.heatmap import densities
from dirtmodel.queries.coverage import StepCoverage
from dirtmodel.queries.images import Images, Reviews
from dirtmodel.reporting.contents import HeatMap, Panel
from dirtmodel.wording import count

_MOST_AVERAGED: Final = 20
"""The most pictures of a slice to average."""
_SIZE: Final = (320, 320)
"""Largest width and height of a picture in pixels."""


def heat_maps(session: orm.Session, covered: Sequence[StepCoverage]) -> Iterator[HeatMap]:
    """Yield a heat map for each display of each reviewed step that is judged by clicks."""
    for row in covered:
        by_clicks = lookups.judged_by(session.connection(), row.step) is JudgedBy.CLICKS
        for display in DisplayMode if by_clicks and row.n_reviewed else ():
            wanted = Images(step=row.step, display=display)
            if wanted.run(session):
                yield from _heat_map(session, row.step, display, wanted)


def _heat_map(
    session: orm.Session, step: Step, display: DisplayMode, wanted: Images
) -> Iterator[HeatMap]:
    name = f"{step.name}, display {display.name}"
    try:
        found = densities(session, wanted, Reviews((), decides=True), most_averaged=_MOST_AVERAGED)
    except UsageError as error:
        # All pictures are damaged.
        yield HeatMap(name, (str(error),), (), "")
        return
    if found is None:
        return
    peak = max(float(panel.clicks.max()) for panel in found.panels.values())
    panels = []
    for number, panel in found.panels.items():
        cut = "no slice" if number is None else f"slice {number}"
        caption = f"{cut}: {count(panel.n_clicks, 'click')}"
        drawn = heatmaps.overlay(panel, peak)
        drawn.thumbnail(_SIZE)
        alt = f"where reviewers click, {name}, {caption}"
        panels.append(Panel(Picture(encode.webp([drawn], quality=82), None, alt), caption))
    yield HeatMap(name, tuple(heatmaps.counts(found)), tuple(panels), f"{peak:.2g}")

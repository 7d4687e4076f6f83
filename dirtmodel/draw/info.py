"""Protocols for an image, its reviews and its clicks.

Both ORM objects and the rows of queries fulfil these protocols, so both can be drawn without a
conversion.
"""

from typing import Protocol


class Named(Protocol):
    """A member of one of DIRT's enums."""

    @property
    def name(self) -> str: ...


class ImageInfo(Protocol):
    """An image, with the entities of its target."""

    @property
    def id(self) -> int: ...
    @property
    def step(self) -> Named: ...
    @property
    def file1(self) -> str: ...
    @property
    def display(self) -> Named: ...
    @property
    def slice(self) -> int | None: ...
    @property
    def sub(self) -> str | None: ...
    @property
    def ses(self) -> str | None: ...
    @property
    def task(self) -> str | None: ...
    @property
    def run(self) -> int | None: ...


class ReviewInfo(Protocol):
    """One review of an image, as in `review`."""

    @property
    def session_id(self) -> int: ...
    @property
    def rater(self) -> str | None: ...
    @property
    def verdict(self) -> Named | None: ...
    @property
    def n_clicks(self) -> int | None: ...
    @property
    def source_data_issue(self) -> bool: ...
    @property
    def decides(self) -> bool: ...
    @property
    def notes(self) -> str | None: ...


class ClickInfo(Protocol):
    """One row of `coordinate`."""

    @property
    def session_id(self) -> int: ...
    @property
    def x(self) -> float | None: ...
    @property
    def y(self) -> float | None: ...

"""The description of a synthetic release."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

MASK, NORMALIZATION, SURFACE, FMAP, DTIFIT = STEPS = range(5)
"""DIRT's steps; they are not imported from the models, because they serve to test these."""

Pictures = Literal["drawn", "noise", "tiny"]

HAZARDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "id_gaps": "ids skip numbers in all four tables",
        "unordered_rows": "rows are in no particular order",
        "null_users": "the earliest sessions have no user",
        "double_submit": "one review twice, 180 ms apart, in the same session",
        "changed_mind": "a second, different review 40 s later in the same session",
        "later_session": "the same rater reviews an image again in a session days later",
        "off_picture_clicks": "clicks at x = -0.28, and at 0.2 below the lower edge",
        "half_null_clicks": "clicks with x but no y, and with y but no x",
        "infinite_clicks": "clicks with an infinite x or y",
        "crossed_tables": "ratings on images of click steps, clicks on images of verdict steps",
        "session_step": "reviews in a session of another step than the image's",
        "awkward_notes": "unicode, quotes, COPY escapes, mark-up, the texts NULL, NA and nan",
        "one_step_subject": "the last of two or more subjects has only a fieldmap coregistration",
        "nameless_file": "a mask whose file1 carries no entity at all",
        "equal_dtifit_keys": "two DTIFIT images alike in slice (NULL), file1, display and step",
    }
)
"""Oddities of real releases that can break code, by name.

Every synthetic release also has what is normal: unreviewed images, a missing run, NULL file2,
reviews without clicks (x and y NULL), submissions of several clicks a few microseconds apart, and
some reviews with `source_data_issue`.
"""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The description of a synthetic release; equal recipes produce equal releases.

    Parameters
    ----------
    seed
        The seed of all random numbers.
    subjects, slices
        Numbers of subjects, and of slices per display. Each subject has up to 8 targets: mask,
        normalisation, surface, four runs of fieldmap coregistration (a few are missing) and dtifit.
        dtifit has one picture, the other targets have 3 displays × `slices` pictures (normalisation
        at most 3 slices). With DIRT's own 7 slices, a subject has 136 pictures.
    steps
        The steps of the release.
    raters
        Number of raters, from the most lenient to the strictest.
    reviews_per_image
        Mean number of raters who review a reviewed image.
    reviewed
        Share of reviewed images in each step; all images of fieldmap coregistration are reviewed.
    session_length
        The most reviews in one session.
    hazards
        True for all of `HAZARDS`, False for none, or a collection of names.
    pictures
        "drawn": like DIRT's. "noise": black PNGs of `picture_bytes`, which differ in bytes that
        viewers ignore; thousands are made per second. "tiny": the same small PNG or GIF for all.
    picture_size
        Width and height in pixels. Pictures of dtifit have the proportions of DIRT's.
    frames
        Number of frames of a drawn dtifit GIF.
    picture_bytes
        Size of a "noise" picture in bytes.
    """

    seed: int = 0
    subjects: int = 4
    slices: int = 3
    steps: Collection[int] = STEPS
    raters: int = 5
    reviews_per_image: float = 2.0
    reviewed: float = 0.5
    session_length: int = 60
    hazards: bool | Collection[str] = True
    pictures: Pictures = "drawn"
    picture_size: tuple[int, int] = (640, 480)
    frames: int = 37
    picture_bytes: int = 25_000

    def __post_init__(self) -> None:
        """Raise ValueError if a field has a wrong value."""
        if not isinstance(self.hazards, bool) and (unknown := set(self.hazards) - set(HAZARDS)):
            raise ValueError(f"unknown hazards {sorted(unknown)}: choose from {sorted(HAZARDS)}")
        if not set(self.steps) <= set(STEPS):
            raise ValueError(f"unknown steps in {list(self.steps)}: choose from {list(STEPS)}")
        for name in ("subjects", "slices", "raters", "session_length", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: use 1 or more")
        if not 1 <= self.reviews_per_image <= self.raters:
            raise ValueError(
                f"reviews_per_image is {self.reviews_per_image}: "
                f"use 1 to {self.raters}, the number of raters"
            )

    def has(self, hazard: str) -> bool:
        """Return true if the release contains this hazard."""
        if hazard not in HAZARDS:
            raise KeyError(hazard)
        return self.hazards if isinstance(self.hazards, bool) else hazard in self.hazards

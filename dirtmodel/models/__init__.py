"""DIRT's tables as SQLAlchemy models, and the tables beside them.

- `types`: enums, column types, the base of the models
- `lookups`: what the numbers of steps, displays and verdicts mean
- `dirt`: the four tables that mirror DIRT's
- `derived`: what follows from them
- `raters`: who reviewed, in order
- `notebook`: how an image shows itself
- `records`: what was loaded
- `views`: for ad hoc SQL

The comments on tables and columns are documentation for users: `docs/schema.md`, the COMMENTs in
Postgres and `dirtmodel sql --tables` are made from them.
"""

from dirtmodel.models.derived import Picture, Review, Tally, Target
from dirtmodel.models.dirt import Coordinate, Image, Rating, Session
from dirtmodel.models.lookups import DISPLAY, STEP, VERDICT
from dirtmodel.models.raters import raters
from dirtmodel.models.records import Finding, Quarantine, Release, ReleaseFile
from dirtmodel.models.types import (
    JUDGED_BY,
    Base,
    BigInt,
    DisplayMode,
    IntEnumType,
    JudgedBy,
    Ratings,
    Step,
    UTCDateTime,
    member_of,
)

MIRRORED = ("session", "image", "rating", "coordinate")
"""DIRT's tables, referenced ones first."""

__all__ = [
    "DISPLAY",
    "JUDGED_BY",
    "MIRRORED",
    "STEP",
    "VERDICT",
    "Base",
    "BigInt",
    "Coordinate",
    "DisplayMode",
    "Finding",
    "Image",
    "IntEnumType",
    "JudgedBy",
    "Picture",
    "Quarantine",
    "Rating",
    "Ratings",
    "Release",
    "ReleaseFile",
    "Review",
    "Session",
    "Step",
    "Tally",
    "Target",
    "UTCDateTime",
    "member_of",
    "raters",
]

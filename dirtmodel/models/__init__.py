"""SQLAlchemy models of DIRT's tables, and of the tables that dirtmodel adds.

- `types`: enums, column types and the base class of the models
- `lookups`: what the numbers of steps, displays and verdicts mean
- `dirt`: the four tables that mirror DIRT's
- `derived`: the tables that are computed from these four
- `raters`: the raters of a database, in a fixed order
- `notebook`: how an image is displayed in a notebook
- `records`: what was loaded
- `views`: the columns of the views

The comments on tables and columns are documentation for users: `docs/schema.md`, the COMMENTs in
Postgres and the output of `dirtmodel sql --tables` are made from them.
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
"""Names of DIRT's tables; a table comes after those that it refers to."""

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

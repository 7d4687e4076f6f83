"""DIRT's tables as SQLAlchemy models, and the local tables beside them.

Each comment on a column is documentation for users: `docs/schema.md` and the COMMENTs in Postgres
are made from them.
"""

from dirtmodel.models.dirt import Coordinate, Image, Rating, Session
from dirtmodel.models.local import (
    Finding,
    Judgement,
    Picture,
    Quarantine,
    Release,
    ReleaseFile,
    Review,
    Tally,
    Target,
    TargetRater,
)
from dirtmodel.models.types import (
    CLICK_STEPS,
    VERDICT_STEPS,
    Base,
    BigInt,
    DisplayMode,
    IntEnumType,
    Ratings,
    Step,
    UTCDateTime,
    View,
    enum_check,
    member_of,
)

__all__ = [
    "CLICK_STEPS",
    "VERDICT_STEPS",
    "Base",
    "BigInt",
    "Coordinate",
    "DisplayMode",
    "Finding",
    "Image",
    "IntEnumType",
    "Judgement",
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
    "TargetRater",
    "UTCDateTime",
    "View",
    "enum_check",
    "member_of",
]

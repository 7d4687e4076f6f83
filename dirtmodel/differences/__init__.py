"""Release against release: what changed, and which scans changed their verdict.

- `sides`: a database, or a release folder in a temporary one
- `rows`: two ordered streams of one table, merged
- `pixels`: whether two pictures show the same
- `verdicts`: what an exclusion rule makes of both sides, and the rows behind a change
- `stale`: reviews that judged another picture
- `schema`: revisions, and columns that DIRT does not have
- `comparison`: all of it
- `report`: all of it as JSON, in lines for people, or as flat rows
- `page`, `gallery`: all of it as one HTML page, with pictures
"""

from dirtmodel.differences.comparison import Differences, diff
from dirtmodel.differences.rows import Change, Counts, RowDifference
from dirtmodel.differences.stale import StaleReview
from dirtmodel.differences.verdicts import VerdictChange

__all__ = [
    "Change",
    "Counts",
    "Differences",
    "RowDifference",
    "StaleReview",
    "VerdictChange",
    "diff",
]

"""Compare two releases: changed rows and pictures, and scans whose verdict changed.

- `sides`: opens a database, or loads a release into a temporary one
- `rows`: compares the rows of a table, as two ordered streams
- `pixels`: compares the pixels of two pictures
- `verdicts`: compares the results of an exclusion rule, and finds the rows behind a change
- `texts`: long texts, shortened
- `stale`: finds reviews that judged an earlier picture
- `schema`: compares revisions, and columns and numbers that DIRT does not define
- `comparison`: all comparisons together
- `report`: the differences as JSON, as lines of text, or as flat rows
- `page`, `gallery`: the differences as one HTML page, with pictures
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

"""Finding, reading and checking a release: from its files to validated batches of rows.

- `foreign`: files that are not parquet, and what to do about them
- `pages`: the sizes that a parquet file declares, checked before they are used
- `streaming`: reading the values of a column without holding its pages in memory
- `memory`: how much of a file is held in memory at a time
- `parts`: the files of one table
- `layout`: finding and reading the four files of a release
- `dirt`: reading a release from a database with DIRT's tables or ours
- `sources`: opening a release, whichever of the two it is
- `columns`: the documented columns and their types
- `conversion`: converting each physical type to the canonical type of its column
- `tables`: checking that each table can be read, and finding its columns
- `extension`: columns and numbers beyond the documented layout
- `findings`: the kinds of errors and warnings
- `checks`: checks of the values of rows
- `keys`: finding rows that repeat a key
- `blobs`: hashing and checking pictures
- `rejected`: rows that cannot be loaded, stored completely
- `reader`: reading and checking a whole release in bounded memory
- `examine`: checking a release without loading it
"""

from dirtmodel.release.blobs import Pictures
from dirtmodel.release.columns import Column
from dirtmodel.release.examine import check
from dirtmodel.release.extension import Extension
from dirtmodel.release.findings import Finding, Findings
from dirtmodel.release.layout import ReleaseFiles, find
from dirtmodel.release.reader import Batch, Reader
from dirtmodel.release.rejected import Rejected
from dirtmodel.release.sources import Place, Source, opened

__all__ = [
    "Batch",
    "Column",
    "Extension",
    "Finding",
    "Findings",
    "Pictures",
    "Place",
    "Reader",
    "Rejected",
    "ReleaseFiles",
    "Source",
    "check",
    "find",
    "opened",
]

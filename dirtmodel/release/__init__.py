"""Release files → validated batches.

- `foreign`: what stands in place of a parquet file
- `pages`: the sizes that a parquet file declares, compared before they are trusted
- `streaming`: the values of a column, read without holding its pages
- `memory`: how much of a file is held at a time, and by what
- `parts`: the files of one table
- `layout`: where the four files are, and how they are read
- `dirt`: DIRT's own tables, or ours, in their place
- `sources`: which of the two it is
- `columns`: the documented columns, and what each of them holds
- `conversion`: how each physical type becomes the canonical one of its column
- `tables`: whether each table can be read, and which columns it has
- `extension`: columns and numbers beyond the documented layout
- `findings`: what is wrong or odd, with stable codes
- `checks`: what makes a row unsound or odd
- `keys`: which rows repeat a key
- `blobs`: the pictures of a batch, hashed and checked to be whole
- `rejected`: rows that cannot be loaded, kept whole
- `reader`: all of it in bounded memory, checked
- `examine`: the check without a load
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

"""Release files → validated batches.

- `layout`: where the four files are, and how they are read
- `tables`: DIRT's own tables, or ours, in their place
- `sources`: which of the two it is
- `columns`: which columns they have, and how each physical type becomes the canonical one
- `findings`: what is wrong or odd, with stable codes
- `rules`: what makes a row unsound or odd
- `keys`: which rows repeat a key
- `pictures`: the pictures of a batch, hashed and found to be whole
- `rejected`: rows that cannot be loaded, kept whole
- `reading`: all of it in bounded memory, checked
"""

from dirtmodel.release.findings import Finding, Findings
from dirtmodel.release.layout import ReleaseFiles, find
from dirtmodel.release.pictures import Pictures
from dirtmodel.release.reader import Batch, Reader, check
from dirtmodel.release.rejected import Rejected
from dirtmodel.release.sources import Place, Source, opened

__all__ = [
    "Batch",
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

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

from dirtmodel.releases.findings import Finding, Findings
from dirtmodel.releases.layout import ReleaseFiles, find
from dirtmodel.releases.pictures import Pictures
from dirtmodel.releases.reading import Batch, Reader, check
from dirtmodel.releases.rejected import Rejected
from dirtmodel.releases.sources import Place, Source, opened

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

"""Release files → validated batches.

- `layout`: where the four files are
- `columns`: which columns they have, and how each physical type becomes the canonical one
- `findings`: what is wrong or odd, with stable codes
- `rules`: what makes a row unsound or odd
- `keys`: which rows repeat a key
- `reading`: the files in bounded memory, checked
"""

from dirtmodel.releases.findings import Finding, Findings
from dirtmodel.releases.layout import ReleaseFiles, find
from dirtmodel.releases.reading import Batch, Reader, Rejected, check

__all__ = ["Batch", "Finding", "Findings", "Reader", "Rejected", "ReleaseFiles", "check", "find"]

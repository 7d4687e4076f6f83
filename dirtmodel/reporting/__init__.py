"""The report of a release: one HTML page.

- `page`: writes the page
- `collect`, `raters`, `clicks`, `gallery`, `rules`: make its contents from the query classes
- `contents`: the types of its contents
"""

from dirtmodel.reporting.page import report

__all__ = ["report"]

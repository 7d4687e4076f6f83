"""The report of a release: one HTML page.

- `page`: writes it
- `collect`, `raters`, `clicks`, `gallery`, `rules`: what it contains, from the query classes
- `contents`: the types of what it contains
"""

from dirtmodel.reporting.page import report

__all__ = ["report"]

"""Load and query the manual QC of A2CPS neuroimaging derivatives.

>>> import dirtmodel as dm
>>> with dm.open(demo_db) as db:
...     failed = dm.Exclusions(step=dm.Step.FMAP_COREGISTRATION).run(db)
>>> failed[0].sub, failed[0].scan
('44906', 'cuff2')
"""

import importlib
from typing import TYPE_CHECKING, Any

from dirtmodel._version import __version__

if TYPE_CHECKING:
    from dirtmodel import errors, irr
    from dirtmodel.differences import diff
    from dirtmodel.errors import (
        DatabaseError,
        DirtmodelError,
        OutputError,
        PictureError,
        QueryError,
        ReleaseError,
        UsageError,
    )
    from dirtmodel.exporting import export
    from dirtmodel.loading import load
    from dirtmodel.loading.upgrading import upgrade
    from dirtmodel.models import (
        Coordinate,
        DisplayMode,
        Finding,
        Image,
        Picture,
        Quarantine,
        Rating,
        Ratings,
        Release,
        ReleaseFile,
        Review,
        Session,
        Step,
        Tally,
        Target,
    )
    from dirtmodel.opening import open, refresh  # noqa: A004 - `dm.open(...)` is how it reads
    from dirtmodel.pictures.extract import extract
    from dirtmodel.pictures.heatmap import heatmap
    from dirtmodel.pictures.image import image
    from dirtmodel.pictures.sheet import sheet
    from dirtmodel.pseudonyms import use_pseudonyms
    from dirtmodel.queries.agreement import Agreement
    from dirtmodel.queries.bids_filters import BidsFilters
    from dirtmodel.queries.consensus import Consensus
    from dirtmodel.queries.coverage import Coverage
    from dirtmodel.queries.crossed import Crossed
    from dirtmodel.queries.exclusions import Exclusions
    from dirtmodel.queries.images import Images
    from dirtmodel.queries.kit import KitExclusions
    from dirtmodel.release import check
    from dirtmodel.reporting import report
    from dirtmodel.sql import ask

_HOMES = {
    "dirtmodel.reporting": ("report",),
    "dirtmodel.sql": ("ask",),
    "dirtmodel.differences": ("diff",),
    "dirtmodel.errors": (
        "DatabaseError",
        "DirtmodelError",
        "OutputError",
        "PictureError",
        "QueryError",
        "ReleaseError",
        "UsageError",
    ),
    "dirtmodel.exporting": ("export",),
    "dirtmodel.loading": ("load",),
    "dirtmodel.loading.upgrading": ("upgrade",),
    "dirtmodel.opening": ("open", "refresh"),
    "dirtmodel.models": (
        "Coordinate",
        "DisplayMode",
        "Finding",
        "Image",
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
    ),
    "dirtmodel.pictures.extract": ("extract",),
    "dirtmodel.pictures.heatmap": ("heatmap",),
    "dirtmodel.pictures.image": ("image",),
    "dirtmodel.pictures.sheet": ("sheet",),
    "dirtmodel.pseudonyms": ("use_pseudonyms",),
    "dirtmodel.queries.agreement": ("Agreement",),
    "dirtmodel.queries.bids_filters": ("BidsFilters",),
    "dirtmodel.queries.consensus": ("Consensus",),
    "dirtmodel.queries.coverage": ("Coverage",),
    "dirtmodel.queries.crossed": ("Crossed",),
    "dirtmodel.queries.exclusions": ("Exclusions",),
    "dirtmodel.queries.images": ("Images",),
    "dirtmodel.queries.kit": ("KitExclusions",),
    "dirtmodel.release": ("check",),
}
_MODULES = {"irr": "dirtmodel.irr", "errors": "dirtmodel.errors"}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agreement",
    "BidsFilters",
    "Consensus",
    "Coordinate",
    "Coverage",
    "Crossed",
    "DatabaseError",
    "DirtmodelError",
    "DisplayMode",
    "Exclusions",
    "Finding",
    "Image",
    "Images",
    "KitExclusions",
    "OutputError",
    "Picture",
    "PictureError",
    "Quarantine",
    "QueryError",
    "Rating",
    "Ratings",
    "Release",
    "ReleaseError",
    "ReleaseFile",
    "Review",
    "Session",
    "Step",
    "Tally",
    "Target",
    "UsageError",
    "__version__",
    "ask",
    "check",
    "diff",
    "errors",
    "export",
    "extract",
    "heatmap",
    "image",
    "irr",
    "load",
    "open",
    "refresh",
    "report",
    "sheet",
    "upgrade",
    "use_pseudonyms",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `dirtmodel --help` does not load SQLAlchemy."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

"""The JSON sidecar that BIDS requires: a description of the columns of an exclusion table."""

from collections.abc import Iterable
from typing import Any, Final

from dirtmodel.models import Step

_OTHER_STEP: Final = "a step of this release that has no description yet"

_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "sub": {"Description": "participant, without sub-"},
    "ses": {"Description": "scanning session, without ses-"},
    "task": {"Description": "task of a functional run"},
    "run": {"Description": "number of a functional run"},
    "scan": {
        "Description": "the raw acquisition, where known",
        "Levels": {
            "T1w": "structural scan; judged by its brain mask, normalisation and surfaces",
            "dwi": "diffusion scan",
            "cuff1": "functional run 1, cuff pressure",
            "cuff2": "functional run 2, cuff pressure",
            "rest1": "functional run 1, rest",
            "rest2": "functional run 2, rest",
        },
    },
    "step": {
        "Description": "processing step whose derivative was judged",
        "Levels": {
            "MASK": "brain mask",
            "SPATIAL_NORMALIZATION": "normalisation to a template",
            "SURFACE_LOCALIZATION": "cortical surfaces",
            "FMAP_COREGISTRATION": "coregistration of a functional run with its fieldmap",
            "DTIFIT": "fractional anisotropy of the diffusion tensor",
        },
    },
    "file1": {"Description": "the derivative that was judged"},
    "status": {
        "Description": "what the rule makes of it",
        "Levels": {
            "excluded": "the rule excludes it",
            "kept": "all its images were reviewed, and the rule does not exclude it",
            "partial": "some of its images were reviewed, and the rule does not exclude it",
            "unreviewed": "none of its images was reviewed; this does not mean that it passed",
        },
    },
    "n_images": {"Description": "images of it", "Units": "images"},
    "n_reviewed": {"Description": "images with a review that counts", "Units": "images"},
    "n_bad_images": {"Description": "images that are bad by the rule", "Units": "images"},
    "n_raters": {"Description": "different named raters who reviewed it", "Units": "raters"},
    "n_pass": {"Description": "PASS verdicts on its images", "Units": "verdicts"},
    "n_unsure": {"Description": "UNSURE verdicts on its images", "Units": "verdicts"},
    "n_fail": {"Description": "FAIL verdicts on its images", "Units": "verdicts"},
    "n_clicks": {"Description": "clicks on faults in its images", "Units": "clicks"},
    "source_data_issue": {
        "Description": "whether a review blames the raw data",
        "Levels": {"true": "at least one does", "false": "none does"},
    },
    "image_ids": {"Description": "ids of the bad images, with spaces between them"},
    "rule": {"Description": "options of `dirtmodel exclusions` that reproduce this table"},
    "release": {"Description": "label of the release that was loaded"},
}


def sidecar(columns: Iterable[str], steps: Iterable[Step] = ()) -> dict[str, dict[str, Any]]:
    """Return the descriptions of columns of an exclusion table.

    Parameters
    ----------
    columns
        The names of the columns.
    steps
        The values of the column `step`; steps that DIRT does not define are added to its levels.

    Examples
    --------
    >>> sidecar(["n_clicks"])
    {'n_clicks': {'Description': 'clicks on faults in its images', 'Units': 'clicks'}}
    """
    described = {column: _COLUMNS[column] for column in columns}
    if "step" in described:
        levels: dict[str, str] = described["step"]["Levels"]
        others = {step.name: _OTHER_STEP for step in sorted(set(steps)) if step.name not in levels}
        described["step"] = {**described["step"], "Levels": levels | others}
    return described

"""The image table without its pictures: the targets, displays and slices."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from dirtmodel.sample.recipe import DTIFIT, FMAP, MASK, NORMALIZATION, SURFACE, Recipe

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NO_SLICE: Final = -1
RUNS: Final = tuple((task, run) for task in ("rest", "cuff") for run in (1, 2))
MISSING_RUNS: Final = 0.05
"""Share of runs that are missing."""
BAD_TARGETS: Final = 0.15
"""Share of targets that are bad."""
START: Final = 1_753_500_000_000_000
"""The time of the first picture: 26 July 2025, in microseconds since 1970."""

HALF_AXES: Final = ((0.84, 0.60), (0.64, 0.66), (0.60, 0.80))
"""Half axes of the brain in displays X, Y and Z, in half picture heights."""


@dataclass(frozen=True)
class Target:
    """One derivative under review."""

    subject: int
    step: int
    file1: str
    file2: str | None
    n_slices: int


@dataclass(frozen=True)
class Images:
    """All images, column by column, in DIRT's order of creation.

    `severity` is the true quality that raters judge, from 0 (flawless) to 1. `fault` (n × 2) is the
    place of the flaw, in half picture heights from the centre, x right and y down.
    """

    targets: tuple[Target, ...]
    target: Ints
    id: Ints
    slice: Ints
    display: Ints
    step: Ints
    created: Ints
    severity: Floats
    fault: Floats

    def __len__(self) -> int:
        return len(self.id)


def ids(n: int, recipe: Recipe, rng: np.random.Generator) -> Ints:
    """Return ascending ids, with gaps if the recipe has this hazard."""
    gaps = rng.integers(1, 4, n)
    return np.cumsum(gaps) if recipe.has("id_gaps") else np.arange(1, n + 1)


def row_order(n: int, recipe: Recipe, rng: np.random.Generator) -> Ints:
    """Return the order of rows in their file."""
    shuffled = rng.permutation(n)
    return shuffled if recipe.has("unordered_rows") else np.arange(n)


def shrinkage(slice_: int | Ints, n_slices: int | Ints) -> Floats:
    """Return the size of the brain in a slice, relative to its middle."""
    off_centre = 2 * (np.asarray(slice_) + 0.5) / n_slices - 1
    return np.asarray(1 - 0.3 * off_centre**2)


def make_images(recipe: Recipe, rng: np.random.Generator) -> Images:
    """Return all images, with random severities and places of faults."""
    targets = _targets(recipe, rng)
    steps = np.array([t.step for t in targets], dtype=np.int64)
    n_slices = np.array([t.n_slices for t in targets], dtype=np.int64)
    per_target = np.where(steps == DTIFIT, 1, 3 * n_slices)
    target = np.repeat(np.arange(len(targets)), per_target)
    within = np.arange(len(target)) - np.repeat(np.cumsum(per_target) - per_target, per_target)
    slices = np.where(steps[target] == DTIFIT, 0, within % n_slices[target])
    display = np.where(steps[target] == DTIFIT, 2, within // n_slices[target])

    n = len(target)
    worst = rng.random(len(targets))[target] * n_slices[target]
    nearness = np.exp(-(((slices + 0.5 - worst) / (0.8 * n_slices[target])) ** 2))
    half_axes = np.array(HALF_AXES)[display]
    direction = rng.uniform(-np.pi, np.pi, len(targets))[target] + display
    outline = half_axes * shrinkage(slices, n_slices[target])[:, np.newaxis]
    return Images(
        targets=tuple(targets),
        target=target,
        id=ids(n, recipe, rng),
        slice=np.where(steps[target] == DTIFIT, NO_SLICE, slices),
        display=display,
        step=steps[target],
        created=START + np.cumsum(rng.integers(800_000, 2_500_000, n)),
        severity=_severities(steps, rng)[target] * nearness,
        fault=0.85 * outline * np.stack([np.cos(direction), np.sin(direction)], axis=1),
    )


def _severities(steps: Ints, rng: np.random.Generator) -> Floats:
    """Return the severity of each target: most are low, some are high, one per step at least."""
    fine = rng.beta(1.5, 9, len(steps))
    bad = rng.random(len(steps)) < BAD_TARGETS
    for step in np.unique(steps):
        bad[rng.choice(np.flatnonzero(steps == step))] = True
    return np.where(bad, rng.uniform(0.65, 1, len(steps)), fine)


def _targets(recipe: Recipe, rng: np.random.Generator) -> list[Target]:
    """Return all targets, step by step, in the order of DIRT's renderers."""
    numbers = np.sort(rng.choice(np.arange(10_000, 100_000), recipe.subjects, replace=False))
    has_run = rng.random((recipe.subjects, len(RUNS))) >= MISSING_RUNS
    has_run[:, 0] = True
    has_run[recipe.subjects // 2, -1] = False

    lone = recipe.subjects - 1 if recipe.has("one_step_subject") and recipe.subjects > 1 else None
    found = [
        target
        for step in recipe.steps
        for subject, number in enumerate(numbers)
        if step == FMAP or subject != lone
        for target in _of_subject(step, subject, int(number), has_run[subject], recipe.slices)
    ]
    if recipe.has("nameless_file") and MASK in recipe.steps:
        found.append(Target(recipe.subjects, MASK, "brainmask_final.nii.gz", None, recipe.slices))
    if recipe.has("equal_dtifit_keys"):
        found += [t for t in found if t.step == DTIFIT][:1]
    return found


def _of_subject(
    step: int, subject: int, number: int, has_run: npt.NDArray[np.bool_], slices: int
) -> list[Target]:
    sub = f"sub-{number}_ses-V1"
    if step == FMAP:
        fieldmap = f"{sub}_acq-fmrib0_fmapid-auto00001_desc-epi_fieldmap.nii.gz"
        return [
            Target(
                subject,
                step,
                f"{sub}_task-{task}_run-{run:02}_desc-coreg_boldref.nii.gz",
                fieldmap,
                slices,
            )
            for (task, run), exists in zip(RUNS, has_run, strict=True)
            if exists
        ]
    file1, file2, n_slices = {
        MASK: (f"{sub}_desc-brain_mask.nii.gz", f"{sub}_T1w.nii.gz", slices),
        NORMALIZATION: (
            f"{sub}_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz",
            None,
            min(slices, 3),
        ),
        SURFACE: (f"{sub}/mri/ribbon.mgz", f"{sub}/mri/brain.mgz", slices),
        DTIFIT: (f"{sub}_space-T1w_desc-preproc_dwi_FA.nii.gz", None, 1),
    }[step]
    return [Target(subject, step, file1, file2, n_slices)]

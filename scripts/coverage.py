"""Simulate how often the intervals of agreement coefficients contain the true value.

The tables are those in docs/agreement.md. Every data set has 21 images per subject, two raters per
image that is read twice, raters who miss 20 % of the bad images, and subjects that differ.

With --rates: the same for sensitivity and specificity. Subjects differ more, and one rater of five
misses 60 % of the bad images.

With --raters: simulate how often the one rater of five who differs is identified, by the rise of
ordinal alpha without them, and by the error rates of the model of Dawid and Skene.
"""

import argparse
from typing import Final

import numpy as np
from tabulate import tabulate

from dirtmodel import irr
from dirtmodel.irr import simulate

# Share of FAIL among all ratings, subjects, and subjects whose images are read twice.
CASES: Final = [(0.05, 30, 3), (0.20, 30, 3), (0.01, 30, 30), (0.05, 10, 10), (0.20, 100, 100)]
NAMES: Final = {
    "gwet_ac": "AC1",
    "fleiss_kappa": "Fleiss",
    "krippendorff_alpha": "alpha",
}
SENSITIVITY: Final = 0.8
N_RATERS: Final = 5
# The others have a sensitivity of 0.8, and false alarms on 3 % of the good images.
ODD: Final = {"lenient": (0.3, 0.02), "severe": (0.8, 0.25)}
SIZES: Final = [(30, 10), (60, 20)]
# Share of bad images, subjects, images of each, and raters of an image.
RATES: Final = [(0.05, 10, 5, 2), (0.05, 10, 21, 3), (0.08, 30, 10, 2), (0.08, 60, 20, 3)]


def design(fail: float, n_subjects: int, n_twice: int) -> irr.Design:
    """Return a design with this share of FAIL ratings, 30 % of which are false alarms."""
    false_alarm = 0.3 * fail
    bad = (fail - false_alarm) / (SENSITIVITY - false_alarm)
    confusion = rates(SENSITIVITY, false_alarm)
    return irr.Design(
        prevalence=np.array([1 - bad, bad]),
        confusion=np.array([confusion] * N_RATERS),
        n_clusters=n_subjects,
        units_per_cluster=21,
        raters_per_unit=[2] * n_twice + [1] * (n_subjects - n_twice),
        concentration=20.0,
    )


def rates(sensitivity: float, false_alarm: float) -> list[list[float]]:
    """Return a rater's table of error rates; its rows are the true verdicts."""
    return [[1 - false_alarm, false_alarm], [1 - sensitivity, sensitivity]]


def main() -> None:
    """Print the table that the options select."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raters", action="store_true", help="who differs, instead of coverage")
    parser.add_argument("--rates", action="store_true", help="coverage of error rates")
    parser.add_argument(
        "--bootstrap", type=int, metavar="N", help="also bootstrap each data set N times (slow)"
    )
    args = parser.parse_args()
    show = raters if args.raters else error_rates if args.rates else intervals
    print(show(args))


def intervals(args: argparse.Namespace) -> str:
    """Return a table with one row per case and coefficient."""
    rows = []
    for fail, n_subjects, n_twice in CASES:
        simulated = design(fail, n_subjects, n_twice)
        case = f"{fail:.0%} FAIL, {n_twice} of {n_subjects} subjects read twice"
        found = irr.coverage(simulated, n=args.simulations, seed=args.seed)
        resampled = found
        if args.bootstrap:
            resampled = irr.coverage(
                simulated, n=args.simulations, seed=args.seed, bootstrap=args.bootstrap
            )
        for linear, percentiles in zip(found, resampled, strict=True):
            if linear.name not in NAMES:
                continue
            row = [
                case,
                NAMES[linear.name],
                *(percent(share) for share in linear[1:]),
            ]
            rows.append([*row, percent(percentiles.returned)] if args.bootstrap else row)
            case = ""
    head = ["case", "coefficient", "subjects - 1", "effective df", "no interval", "returned"]
    if args.bootstrap:
        head.append("bootstrap")
    title = f"coverage of 95 % intervals in {args.simulations} simulations, in %"
    return f"{title}\n{table(rows, head)}"


def error_rates(args: argparse.Namespace) -> str:
    """Return a table with one row per case and error rate."""
    rows = []
    for bad, n_subjects, n_images, n_raters in RATES:
        simulated = irr.Design(
            prevalence=np.array([1 - bad, bad]),
            confusion=np.array([rates(0.8, 0.03)] * (N_RATERS - 1) + [rates(0.4, 0.08)]),
            n_clusters=n_subjects,
            units_per_cluster=n_images,
            raters_per_unit=n_raters,
            concentration=3.0,
        )
        case = f"{bad:.0%} bad, {n_subjects} subjects × {n_images} images, {n_raters} raters"
        for found in irr.rate_coverage(simulated, 1, n=args.simulations, seed=args.seed):
            rows.append([case, found.name, percent(found.withheld), percent(found.returned)])
            case = ""
    head = ["case", "rate", "no interval", "returned"]
    title = f"coverage of 95 % intervals in {args.simulations} simulations, in %"
    return f"{title}\n{table(rows, head)}"


def raters(args: argparse.Namespace) -> str:
    """Return a table with one row per kind of rater and size of the data."""
    rows = []
    for kind, (sensitivity, false_alarm) in ODD.items():
        for n_subjects, n_images in SIZES:
            confusion = [rates(0.8, 0.03)] * (N_RATERS - 1) + [rates(sensitivity, false_alarm)]
            simulated = irr.Design(
                prevalence=np.array([0.92, 0.08]),
                confusion=np.array(confusion),
                n_clusters=n_subjects,
                units_per_cluster=n_images,
                concentration=3.0,
            )
            found = [
                identified(drawn)
                for drawn in simulate.draws(simulated, n=args.simulations, seed=args.seed)
            ]
            shares = np.mean(found, axis=0).tolist()
            rows.append([kind, f"{n_subjects} × {n_images}", *map(percent, shares)])
    head = ["rater", "subjects × images", "alpha without", "sensitivity", "specificity"]
    title = f"the rater who differs is identified in {args.simulations} simulations, in %"
    return f"{title}\n{table(rows, head)}"


def identified(drawn: irr.Simulated) -> list[bool]:
    """Return for each measure if it identifies the last rater as the one who differs."""
    left = irr.leave_one_out(drawn.ratings, categories=[0, 1])
    changes = [-np.inf if row.change.value is None else row.change.value for row in left]
    fitted = irr.dawid_skene(drawn.ratings, n_units=len(drawn.truth), n_categories=2)
    worst = [
        np.argmax(changes),
        *(np.argmin(f(1)) for f in (fitted.sensitivity, fitted.specificity)),
    ]
    return [int(rater) == N_RATERS - 1 for rater in worst]


def table(rows: list[list[str]], head: list[str]) -> str:
    """Return a table as text."""
    return tabulate(rows, headers=head, disable_numparse=True, colalign=("left", "left"))


def percent(share: float | None) -> str:
    """Return a share in percent as text."""
    return "-" if share is None else f"{100 * share:.0f}"


if __name__ == "__main__":
    main()

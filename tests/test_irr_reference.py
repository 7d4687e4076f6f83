"""Published data sets: every coefficient and error equals the exact reference."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dirtmodel import irr

Reference = dict[str, Any]

_FILE = json.loads((Path(__file__).parent / "data/agreement_reference.json").read_text())
DATASETS = _FILE["datasets"]
REFERENCES = _FILE["references"]
COEFFICIENTS = {
    "percent_agreement",
    "gwet_ac",
    "fleiss_kappa",
    "conger_kappa",
    "brennan_prediger",
    "krippendorff_alpha",
}


def _ids(reference: Reference) -> str:
    return f"{reference['dataset']}-{reference['coefficient']}-{reference['weights']}"


def _references(*names: str) -> pytest.MarkDecorator:
    chosen = [r for r in REFERENCES if r["coefficient"].partition("[")[0] in names]
    return pytest.mark.parametrize("reference", chosen, ids=_ids)


def _counts(dataset: Reference) -> list[list[int]]:
    categories, ratings = dataset["categories"], dataset["ratings"]
    return [[row.count(category) for category in categories] for row in ratings]


def _coefficient(reference: Reference) -> irr.Coefficient:
    dataset = DATASETS[reference["dataset"]]
    categories = dataset["categories"]
    margins = None
    if not dataset.get("anonymous_raters"):
        margins = irr.tabulate(dataset["ratings"], categories=categories).margins
    found = irr.coefficients(
        _counts(dataset), categories=categories, weights=reference["weights"], margins=margins
    )
    (one,) = (c for c in found if (c.name, c.weights) == (reference["coefficient"], c.weights))
    return one


def _pair_tables(dataset: Reference) -> Iterator[list[list[int]]]:
    categories, ratings = dataset["categories"], dataset["ratings"]
    for first, second in itertools.combinations(range(len(ratings[0])), 2):
        table = [[0] * len(categories) for _ in categories]
        for row in ratings:
            if row[first] is not None and row[second] is not None:
                table[categories.index(row[first])][categories.index(row[second])] += 1
        yield table


def _close(value: float | None, expected: float | None, tolerance: float = 1e-12) -> bool:
    if expected is None:
        return value is None
    return value is not None and math.isclose(value, expected, rel_tol=0, abs_tol=tolerance)


@_references(*COEFFICIENTS)
def test_coefficient_equals_reference(reference: Reference) -> None:
    found = _coefficient(reference)

    assert _close(found.value, reference["value"])
    assert (found.value is None) == (found.se is None)
    assert found.value is not None or found.reason


@pytest.mark.parametrize(
    "reference", [r for r in REFERENCES if r.get("se_delta") is not None], ids=_ids
)
def test_standard_error_equals_reference(reference: Reference) -> None:
    found = _coefficient(reference)

    assert _close(found.se, reference["se_delta"])


def _complete(reference: Reference) -> bool:
    ratings = DATASETS[reference["dataset"]]["ratings"]
    return all(rating is not None for row in ratings for rating in row)


@pytest.mark.parametrize(
    "reference",
    [r for r in REFERENCES if r["coefficient"] == "conger_kappa" and "se" in r and _complete(r)],
    ids=_ids,
)
def test_conger_error_is_the_published_one_where_everyone_rated_everything(
    reference: Reference,
) -> None:
    found = _coefficient(reference)

    assert _close(found.se, reference["se"], 1e-9)


@pytest.mark.parametrize(
    "reference",
    [r for r in REFERENCES if r["coefficient"] == "cohen_kappa" and "se" in r],
    ids=_ids,
)
def test_conger_of_two_raters_is_cohen_with_its_asymptotic_error(reference: Reference) -> None:
    n = len(DATASETS[reference["dataset"]]["ratings"])

    found = _coefficient({**reference, "coefficient": "conger_kappa"})

    assert _close(found.value, reference["value"])
    assert _close(found.se * math.sqrt((n - 1) / n), reference["se"], 1e-9)


@_references("specific_agreement")
def test_specific_agreement_equals_reference(reference: Reference) -> None:
    dataset = DATASETS[reference["dataset"]]
    category = int(reference["coefficient"].removesuffix("]").partition("[")[2])

    found = irr.specific_agreement(_counts(dataset), n_categories=len(dataset["categories"]))

    assert _close(found[dataset["categories"].index(category)].value, reference["value"])


@_references("unanimity")
def test_unanimity_of_completely_rated_units_equals_reference(reference: Reference) -> None:
    dataset = DATASETS[reference["dataset"]]

    found = irr.unanimity(
        _counts(dataset),
        n_categories=len(dataset["categories"]),
        at_least=len(dataset["ratings"][0]),
    )

    assert _close(found.value, reference["value"])


@_references("cohen_kappa")
def test_cohen_kappa_equals_reference(reference: Reference) -> None:
    dataset = DATASETS[reference["dataset"]]
    (table,) = _pair_tables(dataset)
    weights = reference["weights"]
    if weights.startswith("custom disagreement"):
        weights = [[1 - d / 6 for d in row] for row in json.loads(weights.split(maxsplit=2)[2])]

    found = irr.cohen_kappa(table, categories=dataset["categories"], weights=weights)

    assert _close(found, reference["value"])


@_references("light_kappa")
def test_mean_and_range_over_pairs_equal_lights_kappa(reference: Reference) -> None:
    dataset = DATASETS[reference["dataset"]]

    found = irr.over_pairs(
        irr.cohen_kappa(table, categories=dataset["categories"], weights=reference["weights"])
        for table in _pair_tables(dataset)
    )

    assert _close(found.mean, reference["value"])
    assert _close(found.least, reference["min_pair"])
    assert _close(found.greatest, reference["max_pair"])


@_references("fleiss_category_kappa")
def test_one_category_against_the_rest_gives_fleiss_category_kappa(reference: Reference) -> None:
    dataset = DATASETS[reference["dataset"]]
    category = int(reference["coefficient"].removesuffix("]").partition("[")[2])
    counts = irr.one_against_rest(_counts(dataset), dataset["categories"].index(category))

    found = irr.coefficients(counts, categories=["rest", category], weights="identity")

    assert _close({c.name: c.value for c in found}["fleiss_kappa"], reference["value"])


def test_every_kind_of_reference_is_used() -> None:
    kinds = {reference["coefficient"].partition("[")[0] for reference in REFERENCES}

    assert kinds - COEFFICIENTS == {
        "specific_agreement",
        "unanimity",
        "cohen_kappa",
        "light_kappa",
        "fleiss_category_kappa",
    }

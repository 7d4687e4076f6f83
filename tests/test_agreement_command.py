"""`dirtmodel agreement`: the JSON contract, the report, the errors, on both engines."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from dirtmodel.cli import main

Run = Callable[..., Result]

KEYS = {
    "step", "rater", "units", "pairable_units", "raters", "unattributed_sessions", "clusters",
    "coefficients", "prevalence", "specific_agreement", "unanimity", "pairs", "leave_one_out",
    "repeats",
}  # fmt: skip
COEFFICIENTS = [
    *(
        (name, weights)
        for weights in ("identity", "linear", "quadratic")
        for name in (
            "percent_agreement",
            "gwet_ac",
            "fleiss_kappa",
            "conger_kappa",
            "brennan_prediger",
        )
    ),
    *(("krippendorff_alpha", metric) for metric in ("nominal", "ordinal", "interval")),
]


@pytest.fixture
def run(loaded_url: sa.URL) -> Run:
    def invoke(*options: str) -> Result:
        url = loaded_url.render_as_string(hide_password=False)
        return CliRunner().invoke(main, ["agreement", "--db", url, *options])

    return invoke


def as_json(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("step", ["fmap_coregistration", "dtifit", "mask"])
def test_json_has_the_keys_that_were_promised(step: str, run: Run) -> None:
    found = as_json(run("--step", step, "--format", "json"))

    assert set(found) >= KEYS
    assert ("clicks" in found) == (step == "mask")
    assert [(c["name"], c["weights"]) for c in found["coefficients"]] == COEFFICIENTS
    assert {tuple(c) for c in found["coefficients"]} == {
        ("name", "weights", "value", "se", "ci_low", "ci_high", "reason")
    }
    assert all((c["value"] is None) <= bool(c["reason"]) for c in found["coefficients"])


def test_the_report_reads_from_the_top_down(run: Run) -> None:
    text = run("--step", "fmap_coregistration").stdout

    titles = [
        "Agreement on FMAP_COREGISTRATION (verdicts; rater: user)",
        "Prevalence",
        "Headline, with 95 % intervals",
        "Coefficients and intervals, by weights",
        "Specific agreement",
        "FAIL against the rest",
        "Source data issue",
        "Pairs of raters",
        "Ordinal alpha without one rater",
        "Repeats",
    ]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)


def test_the_report_is_the_pinned_one(run: Run) -> None:
    text = run("--step", "fmap_coregistration").stdout

    assert text == (Path(__file__).parent / "data/agreement_report.txt").read_text()


def test_a_session_as_a_rater_is_said_to_mix(run: Run) -> None:
    text = run("--step", "dtifit", "--rater", "session").stdout

    assert "note: each session counts as a rater: this mixes agreement within and between" in text


def test_tolerances_are_those_asked_for(run: Run) -> None:
    found = as_json(
        run("--step", "mask", "--tolerance", "5", "--tolerance", "7", "--format", "json")
    )

    assert [row["tolerance"] for row in found["clicks"]["tolerances"]] == [5, 7]


def test_disagreements_come_worst_first(run: Run) -> None:
    result = run("--step", "fmap_coregistration", "--disagreements", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    scores = [float(row["disagreement"]) for row in rows]
    assert rows
    assert scores == sorted(scores, reverse=True)
    assert all(len(row["verdicts"].split()) == int(row["n_raters"]) for row in rows)


def test_a_file_is_written_by_its_suffix(run: Run, tmp_path: Path) -> None:
    run("--step", "3", "-o", str(tmp_path / "a.json"))

    assert json.loads((tmp_path / "a.json").read_text())["step"] == "FMAP_COREGISTRATION"


def test_other_formats_give_the_coefficients(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--step", "3", "--format", "csv").stdout)))

    assert [(row["name"], row["weights"]) for row in rows] == COEFFICIENTS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Missing option '--step'"),
        (("--step", "mask", "--tolerance", "-1"), "tolerance: -1.0 is no distance"),
        (("--step", "dtifit", "--tolerance", "9"), "a tolerance is for clicks"),
        (("--step", "brain"), "'brain' is not a step; choose one of mask (0)"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    options: tuple[str, ...], message: str, run: Run
) -> None:
    result = run(*options)

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr

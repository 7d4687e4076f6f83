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
def test_json_has_the_keys_of_the_contract(step: str, run: Run) -> None:
    found = as_json(run("--step", step, "--format", "json"))

    assert set(found) >= KEYS
    assert ("clicks" in found) == (step == "mask")
    assert [(c["name"], c["weights"]) for c in found["coefficients"]] == COEFFICIENTS
    assert {tuple(c) for c in found["coefficients"]} == {
        ("name", "weights", "value", "se", "ci_low", "ci_high", "reason", "df")
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
        "Each rater: ordinal alpha without the rater",
        "Repeats",
    ]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)


def test_the_report_is_the_pinned_one(run: Run) -> None:
    text = run("--step", "fmap_coregistration").stdout

    assert text == (Path(__file__).parent / "data/agreement_report.txt").read_text()


def test_sessions_as_raters_are_marked(run: Run) -> None:
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


def test_every_number_has_its_error_or_the_reason_why_not(run: Run) -> None:
    found = as_json(run("--step", "mask", "--format", "json"))

    estimates = [
        *found["specific_agreement"],
        found["unanimity"],
        *found["prevalence"]["estimates"].values(),
        *(e for pair in found["pairs"] for e in pair["estimates"].values()),
        *(e for left in found["leave_one_out"] for e in left["estimates"].values()),
        *(e for kind in found["repeats"]["by_time"].values() for e in kind["estimates"].values()),
        *(e for row in found["clicks"]["tolerances"] for e in row["estimates"].values()),
    ]
    for estimate in estimates:
        assert estimate["ci_low"] is not None or estimate["reason"]
        assert estimate["ci_low"] is None or estimate["ci_low"] < estimate["ci_high"]


def test_groups_are_a_table(run: Run) -> None:
    text = run("--step", "fmap_coregistration", "--by", "display").stdout

    head, *rows = text.splitlines()
    assert head.split()[:4] == ["display", "images", "by", "two"]
    assert [row.split()[0] for row in rows] == ["X", "Y", "Z"]


def test_groups_have_the_other_formats_too(run: Run) -> None:
    result = run("--step", "fmap_coregistration", "--by", "slice", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["group"] for row in rows] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("step", "phrases"),
    [
        (
            "fmap_coregistration",
            [
                "5 raters gave a verdict on 135 images of 4 subjects (228 reviews)",
                "of which two raters or more reviewed 93.",
                "Gwet's AC1 (Gwet 2008)",
                "Gwet KL (2008).",
                "1 session without a user was left out.",
            ],
        ),
        ("mask", ["F1 equals the free-response kappa", "Carpentier M,", "expected by chance"]),
        ("dtifit", ["AC1 was 1.00 (no interval: one subject alone contributes)"]),
    ],
)
def test_methods_are_true_for_this_database(step: str, phrases: list[str], run: Run) -> None:
    text = run("--step", step, "--methods").stdout

    assert [phrase for phrase in phrases if phrase not in text] == []


def test_a_file_is_written_by_its_suffix(run: Run, tmp_path: Path) -> None:
    run("--step", "3", "-o", str(tmp_path / "a.json"))

    assert json.loads((tmp_path / "a.json").read_text())["step"] == "FMAP_COREGISTRATION"


def test_other_formats_contain_the_coefficients(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--step", "3", "--format", "csv").stdout)))

    assert [(row["name"], row["weights"]) for row in rows] == COEFFICIENTS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Missing option '--step': choose one of mask (40 reviews), spatial_normalization ("),
        (("--step", "mask", "--tolerance", "-1"), "tolerance: -1.0 is not a distance"),
        (("--step", "dtifit", "--tolerance", "9"), "leave the tolerance out"),
        (
            ("--step", "mask", "--methods", "--by", "slice"),
            "cannot be used together; use one of them",
        ),
        (("--step", "brain"), "'brain' is not a step; choose one of mask (0)"),
    ],
)
def test_errors_are_one_line(options: tuple[str, ...], message: str, run: Run) -> None:
    result = run(*options)

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr

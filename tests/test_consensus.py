"""`dm.Consensus` and `dirtmodel consensus`: verdicts, error rates, and what to review next."""

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import sample
from dirtmodel.cli import main
from dirtmodel.queries import consensus
from dirtmodel.queries.consensus_result import RaterRates

Run = Callable[..., Result]
FMAP = dm.Step.FMAP_COREGISTRATION


@pytest.fixture
def run(loaded_url: sa.URL) -> Run:
    def invoke(*options: str) -> Result:
        url = loaded_url.render_as_string(hide_password=False)
        return CliRunner().invoke(main, ["consensus", "--db", url, *options])

    return invoke


def latest_reviews(db: orm.Session, step: dm.Step) -> list[dm.Review]:
    mine = (dm.Review.step == step, dm.Review.latest, dm.Review.rater.is_not(None))
    return list(db.scalars(sa.select(dm.Review).where(*mine)))


def test_every_reviewed_image_has_a_verdict(db: orm.Session) -> None:
    found = dm.Consensus(FMAP).run(db)

    reviews = Counter(review.img_id for review in latest_reviews(db, FMAP))
    assert {row.img_id: row.n_raters for row in found.judged} == reviews
    for row in found.judged:
        assert sum(row.probabilities.values()) == pytest.approx(1, abs=3e-6)
        assert row.verdict == max(row.probabilities, key=lambda name: row.probabilities[name])


def test_raters_have_their_numbers_of_reviews(db: orm.Session) -> None:
    found = dm.Consensus(FMAP).run(db)

    reviews = Counter(review.rater for review in latest_reviews(db, FMAP))
    assert {rater.rater: rater.n_reviews for rater in found.raters} == reviews
    for rater in found.raters:
        assert rater.sensitivity == rater.confusion["FAIL"]["FAIL"]
        for row in rater.confusion.values():
            assert sum(row.values()) == pytest.approx(1)


def test_where_all_agree_the_consensus_is_theirs(db: orm.Session) -> None:
    found = dm.Consensus(FMAP).run(db)

    verdicts: dict[int, set[str]] = {}
    for review in latest_reviews(db, FMAP):
        verdicts.setdefault(review.img_id, set()).add(review.verdict.name)
    unanimous = {img_id for img_id, said in verdicts.items() if said == {"PASS"}}
    assert {row.verdict for row in found.judged if row.img_id in unanimous} == {"PASS"}


@pytest.mark.parametrize(("level", "key"), [("target", "target_id"), ("scan", "scan")])
def test_a_level_has_one_verdict_each(level: str, key: str, db: orm.Session) -> None:
    found = dm.Consensus(FMAP, level).run(db)

    targets = {review.target_id for review in latest_reviews(db, FMAP)}
    keys = [(row.sub, row.ses, getattr(row, key)) for row in found.judged]
    assert len(keys) == len(set(keys)) == len(targets)


def test_a_rater_s_verdict_on_a_target_is_their_worst(db: orm.Session) -> None:
    found = dm.Consensus(FMAP, "target", prior=0).run(db)

    worst: dict[tuple[int, str], int] = {}
    for review in latest_reviews(db, FMAP):
        key = review.target_id, review.rater
        worst[key] = max(worst.get(key, 0), review.verdict)
    failed = {target for (target, _), verdict in worst.items() if verdict == 2}
    passed = {row.target_id for row in found.judged if row.verdict == "PASS"}
    everyone_passed = {t for t, _ in worst} - failed
    assert {t for t in everyone_passed if all(v == 0 for (u, _), v in worst.items() if u == t)} <= (
        passed
    )


def test_a_verdict_that_dirt_does_not_define_counts_least(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    tables = sample.make_tables(subjects=1, steps=[3], slices=1, pictures="tiny", hazards=False)
    images = tables["image"]["id"].to_pylist()
    session = tables["session"]["id"].to_pylist()[0]
    first = tables["rating"].slice(0, 1)
    rows = [
        first.set_column(0, "id", [[n]])
        .set_column(first.column_names.index("img_id"), "img_id", [[images[n]]])
        .set_column(first.column_names.index("session"), "session", [[session]])
        .set_column(first.column_names.index("rating"), "rating", [[verdict]])
        for n, verdict in enumerate([3, 0])
    ]
    ratings = pa.concat_tables(rows).cast(tables["rating"].schema)
    sample.write_tables({**tables, "rating": ratings}, folder)
    dm.load(folder, tmp_path / "dirt.db", extend=True)

    with dm.open(tmp_path / "dirt.db") as db:
        found = dm.Consensus(FMAP, "target").run(db)

    assert [row.verdict for row in found.judged] == ["PASS"]
    assert found.categories == ("PASS", "UNSURE", "FAIL", "RATING_3")


def test_the_next_images_are_the_most_informative(db: orm.Session) -> None:
    found = dm.Consensus(FMAP).next(db, 1000)

    bits = [row.bits for row in found]
    images = db.scalar(
        sa.select(sa.func.count()).select_from(dm.Image).where(dm.Image.step == FMAP)
    )
    assert len(found) == images
    assert bits == sorted(bits, reverse=True)
    assert all((row.verdict is None) == (row.n_raters == 0) for row in found)
    assert any(row.n_raters == 0 for row in dm.Consensus(dm.Step.MASK).next(db, 1000))


def test_next_of_targets_lists_one_image_of_each(db: orm.Session) -> None:
    found = dm.Consensus(FMAP, "target").next(db, 1000)

    assert len({row.file1 for row in found}) == len(found)


def as_json(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("step", "categories"),
    [("fmap_coregistration", ["PASS", "UNSURE", "FAIL"]), ("mask", ["CLEAN", "CLICKED"])],
)
def test_json_has_the_keys_of_the_contract(step: str, categories: list[str], run: Run) -> None:
    found = as_json(run("--step", step, "--format", "json"))

    rater, image = found["raters"][0], found["images"][0]
    assert set(rater) == {*RaterRates._fields, "confusion"}
    assert list(rater["confusion"]) == list(rater["confusion"][categories[0]]) == categories
    assert set(image) >= {"img_id", "verdict", "probabilities"}
    assert list(image["probabilities"]) == categories
    assert found["converged"]


@pytest.mark.parametrize(
    ("level", "list_", "keys"),
    [("target", "targets", ["target_id", "file1"]), ("scan", "scans", ["sub", "ses", "scan"])],
)
def test_other_levels_are_named_by_their_keys(
    level: str, list_: str, keys: list[str], run: Run
) -> None:
    found = as_json(run("--step", "3", "--level", level, "--format", "json"))

    assert list(found[list_][0])[: len(keys)] == keys


def test_csv_has_one_row_per_image(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--step", "3", "--format", "csv").stdout)))

    assert list(rows[0]) == ["img_id", "n_raters", "verdict", "p_pass", "p_unsure", "p_fail"]
    assert len({row["img_id"] for row in rows}) == len(rows)


def test_parquet_has_types_even_without_rows(run: Run, tmp_path: Path) -> None:
    run("--step", "3", "--level", "target", "-o", str(tmp_path / "c.parquet"))

    schema = pq.read_schema(tmp_path / "c.parquet")
    assert [str(schema.field(name).type) for name in ("target_id", "verdict", "p_fail")] == [
        "int64",
        "string",
        "double",
    ]


def test_rows_of_next_begin_with_the_image(run: Run) -> None:
    result = run("--step", "3", "--next", "3", "--format", "csv")

    head, *rows = result.stdout.splitlines()
    assert head.startswith("img_id,")
    assert len(rows) == 3


def test_raters_are_a_table(run: Run) -> None:
    result = run("--step", "3", "--raters", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == list(RaterRates._fields)


def test_many_raters_have_no_intervals(db: orm.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consensus, "MOST_RATERS", 2)

    found = dm.Consensus(FMAP).run(db).raters

    assert {rater.reason for rater in found} == {"no intervals for more than 200 raters"}
    assert {(rater.sensitivity_low, rater.specificity_high) for rater in found} == {(None, None)}
    assert None not in {rater.sensitivity for rater in found}


def test_a_run_and_the_next_reviews_are_one_fit(db: orm.Session) -> None:
    query = dm.Consensus(FMAP)

    found = query.next_with_run(db, 3)

    assert found == (query.run(db), query.next(db, 3))


def test_clicks_that_no_other_rater_confirms_are_named_as_taken_for_errors(
    loaded_file: Path, tmp_path: Path
) -> None:
    copy = shutil.copy(loaded_file, tmp_path / "dirt.db")
    with dm.open(copy, read_only=False) as db:
        db.execute(sa.delete(dm.Coordinate))
        images = list(db.scalars(sa.select(dm.Image).where(dm.Image.step == dm.Step.MASK)))
        for user in "abc":
            sitting = dm.Session(step=dm.Step.MASK, user=user, created=images[0].created)
            reviews = [
                dm.Coordinate(
                    image=image, session=sitting, source_data_issue=False, created=image.created
                )
                for image in images
            ]
            db.add_all(reviews)
        reviews[0].x = reviews[0].y = 1.0
        db.commit()

        (warning,) = dm.Consensus(dm.Step.MASK).run(db).warnings

    assert warning == (
        f"1 of {3 * len(images)} reviews say CLICKED, but the model takes all of them for errors: "
        "not enough raters agree on any"
    )


@pytest.mark.parametrize("options", [[], ["--raters"], ["--next", "2"]])
def test_few_raters_are_reported_on_stderr(options: list[str], run: Run) -> None:
    result = run("--step", "dtifit", *options)

    assert result.stderr == (
        "Warning: fewer than three raters: where they differ, the data do not show who is wrong, "
        "and the estimates depend on the prior.\n"
    )


def test_json_has_the_warnings(run: Run) -> None:
    result = run("--step", "dtifit", "--format", "json")

    (warning,) = as_json(result)["warnings"]
    assert result.stderr == f"Warning: {warning}.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Missing option '--step': choose one of mask ("),
        (("--step", "3", "--prior", "-1"), "prior: -1.0 is not a number of reviews"),
        (("--step", "3", "--next", "0"), "next: 0 images are too few; pass 1 or more"),
        (("--step", "3", "--next", "1", "--raters"), "cannot be used together; use one of them"),
        (("--step", "step_7"), "the database has no step step_7; choose one of mask (0)"),
    ],
)
def test_errors_are_one_line(options: tuple[str, ...], message: str, run: Run) -> None:
    result = run(*options)

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(dm.UsageError) as caught:
        dm.Consensus(FMAP, "site")

    assert str(caught.value) == "'site' is not a level; choose one of image, target, scan"

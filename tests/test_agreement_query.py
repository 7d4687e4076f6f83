"""The agreement of a loaded release equals that of a naive reading of its rows."""

import collections
import itertools
import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import Agreement, irr, sample
from dirtmodel.irr.proportions import values
from dirtmodel.irr.repeats import TIMES
from dirtmodel.queries import agreement

FMAP, MASK = dm.Step.FMAP_COREGISTRATION, dm.Step.MASK
VERDICTS = ("PASS", "UNSURE", "FAIL")
REFERENCE = json.loads((Path(__file__).parent / "data/agreement_reference.json").read_text())

_TINY = sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)["image"]
GIF, PNG = (
    next(
        row["img"]
        for row in _TINY.select(["img", "step"]).to_pylist()
        if (row["step"] == FMAP) == is_gif
    )
    for is_gif in (True, False)
)


class Review(NamedTuple):
    """A row of `rating` or `coordinate`; `value` is the verdict, or (x, y)."""

    image: int
    session: int
    value: Any
    at: int = 0
    flagged: bool = False


def write(
    folder: Path,
    files: Sequence[str],
    users: Sequence[str | None],
    ratings: Sequence[Review] = (),
    clicks: Sequence[Review] = (),
    *,
    steps: Sequence[int] | None = None,
) -> Path:
    """Write a release: image n shows files[n], session n is of users[n], rows have ids from 1."""
    steps = [FMAP] * len(files) if steps is None else steps
    moment = pa.timestamp("us", tz="UTC")

    def review_table(rows: Sequence[Review], values: dict[str, Any]) -> pa.Table:
        return pa.table(
            {
                "id": pa.array(range(1, len(rows) + 1), pa.int64()),
                "source_data_issue": pa.array([r.flagged for r in rows], pa.bool_()),
                **values,
                "img_id": pa.array([r.image for r in rows], pa.int64()),
                "session": pa.array([r.session for r in rows], pa.int64()),
                "notes": pa.array([None] * len(rows), pa.large_string()),
                "created": pa.array([r.at * 1_000_000 for r in rows], pa.int64()).cast(moment),
            }
        )

    n = len(files)
    points = [r.value for r in clicks]
    tables = {
        "session": pa.table(
            {
                "id": pa.array(range(len(users)), pa.int64()),
                "step": pa.array([int(FMAP)] * len(users), pa.int64()),
                "user": pa.array(users, pa.large_string()),
                "created": pa.array([0] * len(users), moment),
            }
        ),
        "image": pa.table(
            {
                "id": pa.array(range(n), pa.int64()),
                "img": pa.array([GIF if s == FMAP else PNG for s in steps], pa.large_binary()),
                "slice": pa.array(range(n), pa.int64()),
                "file1": pa.array(files, pa.large_string()),
                "file2": pa.array([None] * n, pa.large_string()),
                "display": pa.array([0] * n, pa.int64()),
                "step": pa.array([int(s) for s in steps], pa.int64()),
                "created": pa.array([0] * n, moment),
            }
        ),
        "rating": review_table(
            ratings, {"rating": pa.array([r.value for r in ratings], pa.int64())}
        ),
        "coordinate": review_table(
            clicks,
            {
                axis: pa.array([p[n] for p in points], pa.float64(), from_pandas=False)
                for n, axis in enumerate("xy")
            },
        ),
    }
    return sample.write_tables(tables, folder)


def file_of(subject: int) -> str:
    return f"sub-{10000 + subject}_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz"


def matrix_release(folder: Path, ratings: list[list[int | None]], subjects: Sequence[int]) -> Path:
    """Write units × raters as a release, with one session per rater."""
    rows = [
        Review(unit, rater, code)
        for unit, row in enumerate(ratings)
        for rater, code in enumerate(row)
        if code is not None
    ]
    users = [f"rater{n:02}" for n in range(len(ratings[0]))]
    return write(folder, [file_of(s) for s in subjects], users, rows)


THREE = {n: d for n, d in REFERENCE["datasets"].items() if len(d["categories"]) == 3}


@pytest.fixture(scope="module")
def reference_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = {}
    for name, dataset in THREE.items():
        codes = [
            [None if r is None else dataset["categories"].index(r) for r in row]
            for row in dataset["ratings"]
        ]
        folder = tmp_path_factory.mktemp("reference")
        matrix_release(folder / "release", codes, range(len(codes)))
        dm.load(folder / "release", folder / "dirt.db")
        with dm.open(folder / "dirt.db") as db:
            found[name] = Agreement(FMAP, cluster=None).run(db)
    return found


_ON_THREE = [r for r in REFERENCE["references"] if r["dataset"] in THREE]


@pytest.mark.parametrize(
    "reference",
    [
        r
        for r in _ON_THREE
        if r["weights"] in {"identity", "linear", "quadratic", "nominal", "ordinal", "interval"}
        and r["coefficient"] not in {"cohen_kappa", "light_kappa", "unanimity"}
        and (r["coefficient"], r["weights"]) != ("krippendorff_alpha", "linear")
        and not r["coefficient"].startswith("specific_agreement")
    ],
    ids=lambda r: f"{r['dataset']}-{r['coefficient']}-{r['weights']}",
)
def test_a_release_that_encodes_the_reference_gives_it(
    reference: dict[str, Any], reference_results: dict[str, Any]
) -> None:
    result = reference_results[reference["dataset"]]

    found = result.judged.coefficient(reference["coefficient"], reference["weights"])

    if reference["value"] is None:
        assert found.value is None
        assert found.reason
    else:
        assert found.value == pytest.approx(reference["value"], rel=0, abs=1e-12)
    if reference.get("se_delta") is not None:
        assert found.se == pytest.approx(reference["se_delta"], rel=0, abs=1e-9)


@pytest.mark.parametrize(
    "reference",
    [r for r in _ON_THREE if r["coefficient"] == "cohen_kappa" and r["weights"] == "identity"],
    ids=lambda r: r["dataset"],
)
def test_the_pair_of_a_release_has_the_kappa_of_the_reference(
    reference: dict[str, Any], reference_results: dict[str, Any]
) -> None:
    pairs = reference_results[reference["dataset"]].pairs

    kappas = [pair.estimates["cohen_kappa"].value for pair in pairs]

    expected = reference["value"]
    assert kappas == (
        []
        if not pairs
        else [expected if expected is None else pytest.approx(expected, rel=0, abs=1e-12)]
    )


# --- a naive reading -----------------------------------------------------------------------------

SUBJECTS = [0, 0, 1, 2, 2]
N_IMAGES = 5
USERS = ["ann", "bob", "ann", None, "cyd", None]

reviews = st.lists(
    st.builds(
        Review,
        st.integers(0, N_IMAGES - 1),
        st.integers(0, len(USERS) - 1),
        st.sampled_from([0, 0, 1, 2]),
        st.integers(0, 6),
        st.booleans(),
    ),
    max_size=30,
)
_axis = st.none() | st.sampled_from([1.0, 2.0, 9.0, 30.0, math.inf])
clicks = st.lists(
    st.builds(
        Review,
        st.integers(0, N_IMAGES - 1),
        st.integers(0, len(USERS) - 1),
        st.tuples(_axis, _axis),
        st.integers(0, 6),
        st.booleans(),
    ),
    max_size=30,
)


class Latest(NamedTuple):
    code: int
    flagged: bool
    points: list[tuple[float, float]]
    n_clicks: int
    at: int


def rater_of(session: int, mode: str) -> str | int | None:
    return session if mode == "session" else USERS[session]


def history(rows: list[Review], mode: str, *, clicked: bool) -> dict[tuple[int, Any], list[Latest]]:
    """Return the reviews of each (image, rater), in order of time."""
    grouped = collections.defaultdict(list)
    for row_id, row in enumerate(rows, 1):
        key = (row.image, row.session, None if clicked else row_id)
        grouped[key].append((row.at, row_id, row))
    found = collections.defaultdict(list)
    for (image, session, _), members in grouped.items():
        rater = rater_of(session, mode)
        if rater is None:
            continue
        both = [r.value for *_, r in members if clicked and None not in r.value]
        last = max(members, key=lambda m: m[:2])
        review = Latest(
            int(bool(both)) if clicked else last[2].value,
            any(r.flagged for *_, r in members),
            [p for p in both if all(map(math.isfinite, p))],
            len(both),
            last[0],
        )
        found[image, rater].append((last[:2], review))
    return {k: [r for _, r in sorted(v, key=lambda x: x[0])] for k, v in found.items()}


def matrix(latest: dict[tuple[int, Any], list[Latest]], of: str) -> tuple[list[Any], list[Any]]:
    raters = sorted({rater for _, rater in latest})
    rows = [
        [int(getattr(latest[i, r][-1], of)) if (i, r) in latest else None for r in raters]
        for i in range(N_IMAGES)
    ]
    return raters, rows


def load(ratings: list[Review], clicked: list[Review], step: dm.Step, folder: str) -> Path:
    """Images 0 to 4 belong to the step, and 5 to 9 to another one, whose rows must not count."""
    other = FMAP if step == MASK else dm.Step.SURFACE_LOCALIZATION
    files = [file_of(s) for s in SUBJECTS]
    files[0] = "nothing.nii.gz"  # no subject: a cluster of its own
    elsewhere = [r._replace(image=r.image + N_IMAGES) for r in (ratings or clicked)]
    write(
        Path(folder) / "release",
        files * 2,
        USERS,
        [*ratings, *(elsewhere if ratings else [])],
        [*clicked, *(elsewhere if clicked else [])],
        steps=[step] * N_IMAGES + [other] * N_IMAGES,
    )
    url = Path(folder) / "dirt.db"
    dm.load(Path(folder) / "release", url)
    return url


CLUSTERS = ["nothing", 0, 1, 2, 2]


def check(result: Any, latest: dict[tuple[int, Any], list[Latest]], prevalence: str) -> None:
    q = len(result.judged.categories)
    for variable, of in ((result.judged, "code"), (result.binary["source_data_issue"], "flagged")):
        raters, rows = matrix(latest, of)
        size = len(variable.categories)
        t = irr.tabulate(rows or [[None]] * N_IMAGES, categories=range(size))
        expected = irr.coefficients(
            t.counts,
            categories=range(size),
            clusters=CLUSTERS,
            margins=t.margins,
            prevalence=prevalence,
            weights=None if variable is result.judged else ["identity"],
        )
        for got, want in zip(variable.coefficients, expected, strict=True):
            for x, y in zip(got[2:6], want[2:6], strict=True):
                assert x == (None if y is None else pytest.approx(y, rel=0, abs=1e-9)), (got, want)
    raters, rows = matrix(latest, "code")
    assert result.raters == len(raters)
    assert result.units == sum(any(c is not None for c in row) for row in rows)
    assert result.pairable_units == sum(sum(c is not None for c in row) > 1 for row in rows)
    for shown, column in zip(result.raters_prevalence, range(len(raters)), strict=True):
        said = [row[column] for row in rows if row[column] is not None]
        assert (shown.rater, shown.n) == (raters[column], len(said))
        found = values(list(shown.prevalence.values()))
        assert found == [said.count(k) / len(said) for k in range(q)]
    tables = {}
    for a, b in itertools.combinations(range(len(raters)), 2):
        both = [(row[a], row[b]) for row in rows if None not in (row[a], row[b])]
        if both:
            tables[raters[a], raters[b]] = [
                [both.count((x, y)) for y in range(q)] for x in range(q)
            ]
    assert [(p.first, p.second) for p in result.pairs] == list(tables)
    for pair, table in zip(result.pairs, tables.values(), strict=True):
        two = irr.two_way(table, categories=result.judged.categories)
        assert (pair.n, *(e.value for e in pair.estimates.values())) == (*two[:5], two.dice[-1])
    for left in result.leave_one_out:
        column = raters.index(left.rater)
        others = [[*row[:column], *row[column + 1 :]] or [None] for row in rows]
        counts = [[row.count(k) for k in range(q)] for row in others]
        alpha = irr.coefficients(counts, categories=range(q), weights="ordinal")[0].value
        assert left.alpha.value == (None if alpha is None else pytest.approx(alpha, abs=1e-12))
    again = [pair for reviews in latest.values() for pair in itertools.pairwise(reviews)]
    codes = [(a.code, b.code) for a, b in again]
    repeats = result.repeats["all"]
    assert repeats.n == result.superseded == len(again)
    assert repeats.table == [[codes.count((x, y)) for y in range(q)] for x in range(q)]
    gaps = [b.at - a.at for a, b in again]
    assert repeats.median_gap_seconds == (statistics.median(gaps) if gaps else None)
    assert sum(result.repeats[name].n for name in TIMES) == len(again)


@settings(deadline=None, max_examples=8)
@given(
    rows=reviews,
    mode=st.sampled_from(["user", "session"]),
    prevalence=st.sampled_from(["all", "pairable"]),
)
def test_verdicts_are_read_as_a_naive_reader_would(
    rows: list[Review], mode: str, prevalence: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, dm.open(load(rows, [], FMAP, folder)) as db:
        query = Agreement(FMAP, rater=mode, prevalence=prevalence)
        result = query.run(db)
        alone = query.coefficients(db)
        listed = query.disagreements(db)

    latest = history(rows, mode, clicked=False)
    check(result, latest, prevalence)
    assert alone == result.coefficients
    assert result.clicks is None
    _, matrix_ = matrix(latest, "code")
    scores = {}
    for image, row in enumerate(matrix_):
        pairs = list(itertools.combinations([c for c in row if c is not None], 2))
        if any(a != b for a, b in pairs):
            scores[image] = sum((a - b) ** 2 / 4 for a, b in pairs) / len(pairs)
    assert {row.img_id: row.disagreement for row in listed} == pytest.approx(scores)
    order = [(-row.disagreement, -row.n_raters, row.img_id) for row in listed]
    assert order == sorted(order)


@settings(deadline=None, max_examples=8)
@given(rows=clicks, mode=st.sampled_from(["user", "session"]))
def test_clicks_are_read_as_a_naive_reader_would(rows: list[Review], mode: str) -> None:
    with tempfile.TemporaryDirectory() as folder, dm.open(load([], rows, MASK, folder)) as db:
        result = Agreement(MASK, rater=mode, tolerances=(0.5, 10)).run(db)

    latest = history(rows, mode, clicked=True)
    check(result, latest, "all")
    by_image = collections.defaultdict(list)
    for (image, _), done in sorted(latest.items()):
        by_image[image].append(done[-1])
    for tolerance, found in result.clicks.matched.items():
        expected = irr.summarise(
            irr.match(a.points, b.points, tolerance)
            for reviewed in by_image.values()
            for a, b in itertools.combinations(reviewed, 2)
        )
        assert found[:3] == expected[:3]
        for got, want in zip(values(found[3:]), values(expected[3:]), strict=True):
            assert got == (None if want is None else pytest.approx(want, rel=1e-12))
    counts = [[r.n_clicks for r in by_image[i]] for i in range(N_IMAGES)]
    numbers = sorted({*itertools.chain(*counts), 0, 1})
    (alpha,) = irr.coefficients(
        [[row.count(n) for n in numbers] for row in counts],
        categories=numbers,
        weights="interval",
        clusters=CLUSTERS,
    )
    assert result.clicks.counts.value == (
        None if alpha.value is None else pytest.approx(alpha.value, abs=1e-12)
    )
    assert result.clicks.n_at_infinity == sum(
        r.n_clicks - len(r.points) for reviewed in by_image.values() for r in reviewed
    )


# --- degenerate data -----------------------------------------------------------------------------


def agree(folder: Path, ratings: list[list[int | None]], subjects: Sequence[int]) -> Any:
    matrix_release(folder / "release", ratings, subjects)
    dm.load(folder / "release", folder / "dirt.db")
    with dm.open(folder / "dirt.db") as db:
        return Agreement(FMAP).run(db)


def test_without_variation_only_what_needs_none_is_defined(tmp_path: Path) -> None:
    result = agree(tmp_path, [[0, 0], [0, 0], [0, 0]], [0, 1, 2])

    found = {c.name: (c.value, c.reason) for c in result.coefficients}
    exact = "no two subjects differ: exact one-sided bound"
    assert found == {
        "percent_agreement": (1, exact),
        "gwet_ac": (1, "no two subjects differ"),
        "brennan_prediger": (1, exact),
        "fleiss_kappa": (None, "no variation"),
        "conger_kappa": (None, "no variation"),
        "krippendorff_alpha": (None, "no variation"),
    }


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        ([[0], [2]], "only one rater"),
        ([[0, None], [None, 2]], "no image has two reviews"),
        ([[None], [None]], "no reviews by known raters"),
    ],
)
def test_without_two_ratings_of_an_image_everything_is_undefined(
    ratings: list[list[int | None]], reason: str, tmp_path: Path
) -> None:
    result = agree(tmp_path, ratings, [0, 1])

    assert {(c.value, c.reason) for c in result.coefficients} == {(None, reason)}
    assert (result.judged.unanimity.value, result.judged.unanimity.reason) == (None, reason)
    assert (result.pairs, result.pairable_units) == ([], 0)


def test_an_unused_category_stays_one(tmp_path: Path) -> None:
    result = agree(tmp_path, [[0, 0], [0, 2], [2, 2]], [0, 1, 2])

    unsure = result.judged.specific_agreement["UNSURE"]
    assert (unsure.value, unsure.reason) == (None, "not used on an image with two ratings")
    assert values(list(result.judged.prevalence.values())) == [0.5, 0.0, 0.5]


def test_one_subject_gives_no_interval(tmp_path: Path) -> None:
    result = agree(tmp_path, [[0, 0], [0, 2], [2, 2]], [0, 0, 0])

    assert {(c.se, c.ci_low, c.ci_high, c.reason) for c in result.coefficients} == {
        (None, None, None, "one subject alone contributes")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"step": MASK, "tolerances": -1},
            "tolerance: -1.0 is not a distance; pass pixels, 0 or more",
        ),
        ({"step": FMAP, "rater": "me"}, "'me' is not a rater; choose user or session"),
        ({"step": FMAP, "cluster": "scan"}, "'scan' is not a cluster; choose subject or None"),
        ({"step": FMAP, "prevalence": "x"}, "'x' is not a prevalence; choose all or pairable"),
        ({"step": FMAP, "confidence": 1}, "confidence: 1 is not a level; pass one between 0 and 1"),
        (
            {"step": 0, "tolerances": []},
            "tolerances: the list is empty; pass at least one, or leave it out",
        ),
        ({"step": 0, "tolerances": "far"}, "tolerances: 'far' are not distances; pass pixels"),
        (
            {"step": FMAP, "bootstrap": 1},
            "bootstrap: 1 replicates are too few; pass 2000, for example",
        ),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(dm.UsageError) as caught:
        Agreement(**options)

    assert str(caught.value) == message


def test_a_tolerance_for_verdicts_is_refused(db: orm.Session) -> None:
    with pytest.raises(dm.UsageError) as caught:
        Agreement(FMAP, tolerances=10).run(db)

    assert str(caught.value) == (
        "fmap_coregistration is judged by verdict, so it has no clicks to match; "
        "leave the tolerance out"
    )


def test_a_step_that_the_database_does_not_have_is_refused(db: orm.Session) -> None:
    with pytest.raises(dm.UsageError) as caught:
        Agreement("step_7").run(db)

    assert str(caught.value).startswith("the database has no step step_7; choose one of mask (0),")


@pytest.mark.parametrize("group", ["display", "slice", "scan", "cohort"])
def test_groups_partition_the_images(group: str, db: orm.Session) -> None:
    whole = Agreement(FMAP).run(db)

    groups = Agreement(FMAP).by(db, group)

    assert sum(row.n_images for row in groups) == whole.units
    assert sum(row.n_pairable for row in groups) == whole.pairable_units
    assert all(row.alpha is not None or row.reason for row in groups)


def test_an_unknown_group_is_refused(db: orm.Session) -> None:
    with pytest.raises(dm.UsageError, match="'site' is not a group; choose one of display, slice"):
        Agreement(FMAP).by(db, "site")


def test_an_additional_verdict_is_one_more_category(tmp_path: Path) -> None:
    matrix_release(tmp_path / "release", [[0, 0], [0, 3], [3, 3], [2, 2]], [0, 1, 2, 3])
    dm.load(tmp_path / "release", tmp_path / "dirt.db", extend=True)

    with dm.open(tmp_path / "dirt.db") as db:
        result = Agreement(FMAP).run(db)
        worst = Agreement(FMAP).disagreements(db)

    assert result.judged.categories == ("PASS", "UNSURE", "FAIL", "RATING_3")
    assert result.judged.prevalence["RATING_3"].value == 3 / 8
    assert result.binary["fail"].prevalence["FAIL"].value == 2 / 8
    assert [row.disagreement for row in worst] == [1]


@pytest.mark.parametrize("clicked", [False, True])
def test_an_additional_step_is_judged_as_its_row_says(clicked: bool, tmp_path: Path) -> None:
    values: list[Any] = [(5.0, 5.0), (None, None)] if clicked else [2, 0]
    rows = [Review(1 + n % 2, n // 2, values[n % 3 > 0]) for n in range(6)]
    files, users = [file_of(0), file_of(1), file_of(2)], ["ann", "bob", "cyd"]
    found = {"clicks": rows} if clicked else {"ratings": rows}
    write(tmp_path / "release", files, users, **found, steps=[FMAP, 5, 5])
    dm.load(tmp_path / "release", tmp_path / "dirt.db", extend=True)

    with dm.open(tmp_path / "dirt.db") as db:
        result = Agreement("step_5").run(db)
        consensus = dm.Consensus("step_5").run(db)

    assert (result.by_clicks, result.raters, result.pairable_units) == (clicked, 3, 2)
    assert result.judged.prevalence[result.problem].value == 2 / 6
    assert consensus.categories == (("CLEAN", "CLICKED") if clicked else ("PASS", "UNSURE", "FAIL"))


def test_many_raters_with_names_in_any_script(tmp_path: Path) -> None:
    names = [f"оценщик {n} 評価者" for n in range(300)]
    rows = [Review(n % 4, n, n % 7 // 3) for n in range(300)]
    write(tmp_path / "release", [file_of(s) for s in range(4)], names, rows)
    dm.load(tmp_path / "release", tmp_path / "dirt.db")

    with dm.open(tmp_path / "dirt.db") as db:
        result = Agreement(FMAP).run(db)

    assert (result.raters, result.pairs) == (300, [])
    json.dumps(result.to_dict(), allow_nan=False, default=str)


def test_raters_of_other_steps_are_not_in_the_way_of_pairs(
    db: orm.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "MOST_RATERS", 2)

    few = Agreement(dm.Step.DTIFIT).run(db)
    many = Agreement(dm.Step.FMAP_COREGISTRATION).run(db)

    assert (few.raters, len(few.pairs), len(few.leave_one_out)) == (2, 1, 2)
    assert (many.raters > 2, many.pairs, many.leave_one_out) == (True, [], [])

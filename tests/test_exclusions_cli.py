"""`dirtmodel exclusions`: files, sidecars, filters and messages on stderr."""

import collections
import csv
import datetime as dt
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import cli, database, sample

Ask = Callable[..., click.testing.Result]

START = dt.datetime(2025, 8, 1, tzinfo=dt.UTC)
TINY = sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)["image"]
PICTURE = TINY["img"][0].as_py()


@pytest.fixture
def ask(loaded_url: sa.URL) -> Ask:
    def run(*arguments: str, db: str | None = None) -> click.testing.Result:
        url = db or loaded_url.render_as_string(hide_password=False)
        if loaded_url.get_backend_name() == "sqlite":
            url = db or str(loaded_url.database)
        return click.testing.CliRunner().invoke(cli.main, ["exclusions", "--db", url, *arguments])

    return run


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--step fmap_coregistration --rule majority --unsure fail --level target",
        "--rule min-fails 2 --min-clicks 2 --min-raters 2 --latest --status all",
        "--step 0 --step 2 --source-data-issue --images 2 --level session --status partial",
        "--ses ses-V1 --task rest --run run-01 --scan REST1 --status all",
    ],
)
def test_the_rule_of_a_table_reproduces_it(ask: Ask, options: str) -> None:
    first = ask(*shlex.split(options), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(first.stdout)))
    again = ask(*shlex.split(rows[0]["rule"]), "--format", "csv")
    assert again.stdout == first.stdout


def test_values_are_accepted_in_any_case_and_a_dash_is_stdout(ask: Ask) -> None:
    shouted = ask("--unsure", "FAIL", "--level", "Session", "--status", "ALL", "-o", "-")

    assert shouted.stdout == ask("--unsure", "fail", "--level", "session", "--status", "all").stdout
    assert shouted.exit_code == 0


def test_a_table_shows_the_rule_and_the_release_once(ask: Ask) -> None:
    rows = list(csv.DictReader(io.StringIO(ask("--step", "3", "--format", "csv").stdout)))

    table = ask("--step", "3")

    assert not {"rule", "release"} & set(table.stdout.split())
    assert f" of release {rows[0]['release']}; " in table.stderr
    assert f" Rule: {rows[0]['rule']}. " in table.stderr


@pytest.mark.parametrize(
    "spelling",
    [
        ["--rule", "min-fails", "2"],
        ["--rule=min-fails", "2"],
        ["--rule", "min-fails 2"],
        ["--rule", "min-fails", "--min-fails", "2"],
    ],
)
def test_min_fails_is_accepted_in_any_spelling(ask: Ask, spelling: list[str]) -> None:
    result = ask(*spelling, "--format", "ndjson")
    assert result.exit_code == 0
    assert (
        "--rule min-fails --unsure ignore --min-fails 2 "
        in json.loads(result.stdout.splitlines()[0])["rule"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--step 3 --min-clicks 2",
            (
                "Error: min_clicks and min_raters are for steps that are judged by clicks; for "
                "fmap_coregistration use the rule min-fails (--rule min-fails --min-fails 2)\n"
            ),
        ),
        (
            "--step mask --rule majority",
            (
                "Error: rule and unsure are for steps that are judged by verdicts; for mask "
                "use min_clicks and min_raters (--min-clicks 3)\n"
            ),
        ),
        (
            "--rule min-fails",
            (
                "Error: min_fails belongs to the rule min-fails; "
                "use both (--rule min-fails --min-fails 2), or neither\n"
            ),
        ),
        ("--images 0", "Error: images is 0; use 1 or more\n"),
        (
            "--kit --latest --level target --sub 10003",
            (
                "Error: --kit is the kit's own rule and cannot be used with --sub, --latest, "
                "--level; leave out one or the other\n"
            ),
        ),
        (
            "--kit --format bids-filter",
            (
                "Error: --kit has no sessions, which --format bids-filter needs; use instead: "
                "--step fmap_coregistration --format bids-filter\n"
            ),
        ),
        (
            "--status all --format bids-filter",
            (
                "Error: --status cannot be used with --format bids-filter, which selects the runs "
                "that remain; leave it out\n"
            ),
        ),
    ],
)
def test_options_that_do_not_go_together_are_rejected(ask: Ask, options: str, message: str) -> None:
    result = ask(*shlex.split(options))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--level run", ["'run' is not one of", "'target', 'scan', 'session', 'participant'"]),
        ("--rule mode", ["'mode' is not one of", "'any-fail', 'majority'"]),
        ("--step masks", ["'masks' is not a step; choose one of mask (0)"]),
    ],
)
def test_an_unknown_value_is_rejected_with_a_list_of_the_known_ones(
    ask: Ask, options: str, words: list[str]
) -> None:
    result = ask(*shlex.split(options))
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--scan dwi --sub sub-4490",
            (
                "there is no target with sub 4490 (did you mean 44906?); list what there is with: "
                "dirtmodel sql 'SELECT DISTINCT sub FROM target'"
            ),
        ),
        (
            "--run 7",
            (
                "there is no target with run 7; list what there is with: "
                "dirtmodel sql 'SELECT DISTINCT run FROM target'"
            ),
        ),
        (
            "--step step_9",
            (
                "this database has no step step_9 (9); choose one of mask (0), "
                "spatial_normalization (1), surface_localization (2), fmap_coregistration (3), "
                "dtifit (4)"
            ),
        ),
    ],
)
def test_a_condition_that_no_target_meets_is_rejected(ask: Ask, options: str, message: str) -> None:
    result = ask(*shlex.split(options))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")


def test_the_counts_on_stderr_are_of_the_chosen_targets(ask: Ask) -> None:
    result = ask("--sub", "44906", "--scan", "rest1", "--step", "fmap_coregistration")

    assert result.stderr.startswith("Excluded 1 of 1 reviewed scans of release sample; 0 have")


@pytest.mark.parametrize("level", ["scan", "participant"])
def test_one_line_counts_the_excluded_of_those_reviewed(ask: Ask, level: str) -> None:
    every = ask("--level", level, "--status", "all", "--columns", "status", "--format", "csv", "-q")
    n = collections.Counter(every.stdout.splitlines()[1:])

    result = ask("--level", level)

    assert result.stderr.splitlines()[0] == (
        f"Excluded {n['excluded']} of {n.total() - n['unreviewed']} reviewed {level}s of release "
        f"sample; {n['unreviewed']} have no review. Rule: --step all --rule any-fail --unsure "
        f"ignore --min-clicks 1 --min-raters 1 --level {level} --images 1 --status excluded. The "
        "published rule is --kit."
    )


def test_crossed_rows_are_counted_on_stderr(ask: Ask, db: orm.Session) -> None:
    (crossed,) = dm.Crossed().run(db)
    result = ask("--format", "csv")
    assert all(n > 0 for n in crossed)
    assert result.stderr.endswith(
        "The published rule is --kit.\n"
        f"Left out: {crossed.verdicts_on_click_steps} verdicts on click steps and "
        f"{crossed.clicks_on_verdict_steps} clicks on verdict steps.\n"
    )


def test_quiet_suppresses_the_warnings(ask: Ask) -> None:
    loud, quiet = ask("--format", "csv"), ask("--format", "csv", "--quiet")
    assert (quiet.stdout, quiet.stderr) == (loud.stdout, "")


@pytest.mark.parametrize("options", ["--level target --status all", "--level scan", "--kit"])
def test_a_tsv_has_a_sidecar(ask: Ask, tmp_path: Path, options: str) -> None:
    path = tmp_path / "excluded.tsv"
    ask(*shlex.split(options), "-o", str(path))
    described = json.loads(path.with_suffix(".json").read_text())
    assert list(described) == path.read_text().splitlines()[0].split("\t")
    assert all(column["Description"] for column in described.values())
    for column in {"status", "step"} & set(described):
        used = {
            row[column] for row in csv.DictReader(path.read_text().splitlines(), delimiter="\t")
        }
        assert used <= set(described[column]["Levels"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["excluded.json", "excluded.tsv"]


def test_no_cell_of_a_tsv_is_empty(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    ask("--status", "all", "-o", str(path))
    assert all(all(line.split("\t")) for line in path.read_text().splitlines())


def test_other_files_have_no_sidecar(ask: Ask, tmp_path: Path) -> None:
    ask("-o", str(tmp_path / "a.csv"))
    ask("-o", str(tmp_path / "b.tsv"), "--format", "csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "b.tsv"]


def test_a_failed_table_leaves_the_old_sidecar_unchanged(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "excluded.tsv").mkdir()
    (tmp_path / "excluded.json").write_text("old")
    result = ask("-o", str(tmp_path / "excluded.tsv"))
    assert result.exit_code == 2
    assert (tmp_path / "excluded.json").read_text() == "old"


def test_filters_select_the_runs_that_remain(ask: Ask, db: orm.Session) -> None:
    filters = json.loads(ask("--step", "3", "--format", "bids-filter").stdout)
    gone = {(row.sub, row.ses, row.task, row.run) for row in dm.Exclusions(step=3).run(db)}
    known = set(
        db.execute(
            sa.select(dm.Target.sub, dm.Target.ses, dm.Target.task, dm.Target.run).where(
                dm.Target.step == 3, dm.Target.sub.is_not(None)
            )
        ).all()
    )
    for sub, ses, task, run in known - gone:
        bold = filters[sub]["bold"]
        assert (bold["datatype"], bold["suffix"]) == ("func", "bold")
        assert ses in bold["session"]
        assert task in bold["task"]
        assert str(run) in bold["run"]
    assert set(filters) == {sub for sub, *_ in known - gone}


@pytest.fixture
def judged(tmp_path: Path) -> Callable[[dict[str, bool]], str]:
    """Make databases of derivatives with one image each, which is bad or not."""

    def make(bad: dict[str, bool]) -> str:
        url = database.parse_url(tmp_path / "judged.db")
        with database.engine(url).begin() as connection:
            database.migrate(connection)
        with dm.open(url, read_only=False) as session:
            session.add(dm.Session(id=1, step=dm.Step.MASK, user="ann", created=START))
            for n, (file1, is_bad) in enumerate(sorted(bad.items()), 1):
                step = dm.Step.FMAP_COREGISTRATION if "task" in file1 else dm.Step.MASK
                shown = {"step": step, "file1": file1, "display": dm.DisplayMode.X, "img": PICTURE}
                session.add(dm.Image(id=n, created=START, **shown))
                of_image = {
                    "img_id": n,
                    "session_id": 1,
                    "source_data_issue": False,
                    "created": START,
                }
                if step == dm.Step.MASK:
                    xy = 1.0 if is_bad else None
                    session.add(dm.Coordinate(x=xy, y=xy, **of_image))
                else:
                    verdict = dm.Ratings.FAIL if is_bad else dm.Ratings.PASS
                    session.add(dm.Rating(rating=verdict, **of_image))
            session.commit()
        return str(url.database)

    return make


def run(task: str, number: int, *, sub: str = "1", ses: str = "_ses-V1") -> str:
    return f"sub-{sub}{ses}_task-{task}_run-0{number}_desc-coreg_boldref.nii.gz"


def filtered(result: click.testing.Result) -> dict[str, Any]:
    assert result.exit_code == 0
    return {sub: found["bold"] for sub, found in json.loads(result.stdout).items()}


BOLD = {"datatype": "func", "suffix": "bold"}
FILTERS = ("--format", "bids-filter")


def test_filters_are_of_the_chosen_runs(ask: Ask) -> None:
    every = json.loads(ask("--step", "3", *FILTERS).stdout)

    chosen = json.loads(ask("--step", "3", "--sub", "44906", "--task", "rest", *FILTERS).stdout)

    assert list(chosen) == ["44906"]
    assert chosen["44906"]["bold"]["task"] == ["rest"]
    assert len(every) > 1


def test_a_filter_that_expresses_the_exclusions_needs_no_warning(
    ask: Ask, judged: Callable[[dict[str, bool]], str]
) -> None:
    db = judged({run("rest", 1): False, run("rest", 2): False, run("cuff", 1): True})
    result = ask(*FILTERS, db=db)
    assert filtered(result) == {
        "1": {**BOLD, "session": ["V1"], "task": ["rest"], "run": ["1", "2"]}
    }
    assert result.stderr == ""


def test_excluded_runs_that_a_filter_still_selects_are_named(
    ask: Ask, judged: Callable[[dict[str, bool]], str]
) -> None:
    db = judged({run("rest", 1): False, run("cuff", 2): False, run("cuff", 1): True})
    result = ask(*FILTERS, db=db)
    assert filtered(result) == {
        "1": {**BOLD, "session": ["V1"], "task": ["cuff", "rest"], "run": ["1", "2"]}
    }
    assert result.stderr == (
        "sub-1: ses-V1 task-cuff run-1 excluded, but selected by the filter, which takes every "
        "combination of the sessions, tasks and runs that remain; remove by hand\n"
    )


def test_participants_without_a_remaining_run_are_named(
    ask: Ask, judged: Callable[[dict[str, bool]], str]
) -> None:
    db = judged({run("rest", 1): True, run("rest", 1, sub="2"): False})
    result = ask(*FILTERS, db=db)
    assert list(filtered(result)) == ["2"]
    assert result.stderr == (
        "sub-1: no functional run remains, which a filter cannot express; "
        "leave the participant out (--participant-label)\n"
    )


def test_excluded_scans_that_are_not_functional_runs_are_named(
    ask: Ask, judged: Callable[[dict[str, bool]], str]
) -> None:
    db = judged(
        {run("rest", 1): False, "sub-1_ses-V1_mask.nii.gz": True, "sub-3_mask.nii.gz": True}
    )
    result = ask(*FILTERS, db=db)
    assert list(filtered(result)) == ["1"]
    assert result.stderr == (
        "sub-1: ses-V1 T1w excluded, which a filter of functional runs cannot express; "
        "remove by hand\n"
        "sub-3: T1w excluded, which a filter of functional runs cannot express; remove by hand\n"
    )


@pytest.mark.parametrize(
    ("level", "left", "message"),
    [
        ("session", [["V3"]], ""),
        (
            "participant",
            [],
            (
                "sub-1: no functional run remains, which a filter cannot express; "
                "leave the participant out (--participant-label)\n"
            ),
        ),
    ],
)
def test_a_bad_mask_excludes_the_runs_of_its_level(
    ask: Ask,
    judged: Callable[[dict[str, bool]], str],
    level: str,
    left: list[list[str]],
    message: str,
) -> None:
    db = judged(
        {
            "sub-1_ses-V1_mask.nii.gz": True,
            run("rest", 1): False,
            run("rest", 1, ses="_ses-V3"): False,
        }
    )
    result = ask("--step", "mask", "--level", level, *FILTERS, db=db)
    assert [found["session"] for found in filtered(result).values()] == left
    assert result.stderr == message


def test_a_filter_leaves_out_entities_that_some_runs_lack(
    ask: Ask, judged: Callable[[dict[str, bool]], str]
) -> None:
    db = judged({run("rest", 1, ses=""): False, run("rest", 2): False})
    assert filtered(ask(*FILTERS, db=db)) == {"1": {**BOLD, "task": ["rest"], "run": ["1", "2"]}}


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_receives_a_file_per_participant(
    ask: Ask, judged: Callable[[dict[str, bool]], str], tmp_path: Path, exists: bool
) -> None:
    db = judged({run("rest", 1): False, run("rest", 1, sub="2"): False})
    folder = tmp_path / "new" / "filters"
    if exists:
        folder.mkdir(parents=True)
    result = ask(*FILTERS, "-o", str(folder) if exists else f"{folder}/", db=db)
    assert result.stdout == ""
    found = {file.name: json.loads(file.read_text()) for file in folder.iterdir()}
    only = {"bold": {**BOLD, "session": ["V1"], "task": ["rest"], "run": ["1"]}}
    assert found == {"sub-1.json": only, "sub-2.json": only}


def test_filters_are_replaced_only_on_request(
    ask: Ask, judged: Callable[[dict[str, bool]], str], tmp_path: Path
) -> None:
    db = judged({run("rest", 1): False, run("rest", 1, sub="2"): False})
    (tmp_path / "sub-2.json").write_text("mine")

    refused = ask(*FILTERS, "-o", str(tmp_path), db=db)

    assert refused.exit_code == 2
    assert refused.stderr == (
        f"Error: {tmp_path}/sub-2.json exists already; choose another path, or add --replace "
        "(in Python replace=True)\n"
    )
    assert not (tmp_path / "sub-1.json").exists()
    assert ask(*FILTERS, "-o", str(tmp_path), "--replace", db=db).exit_code == 0
    assert (tmp_path / "sub-2.json").read_text() != "mine"


def test_older_filters_that_no_longer_apply_are_named(
    ask: Ask, judged: Callable[[dict[str, bool]], str], tmp_path: Path
) -> None:
    (tmp_path / "sub-1.json").write_text("{}")
    result = ask(*FILTERS, "-o", str(tmp_path), db=judged({run("rest", 1): True}))
    assert (
        f"{tmp_path} still contains older files of participants without a filter: sub-1.json\n"
        in result.stderr
    )


def test_a_folder_that_cannot_be_made_is_an_error(
    ask: Ask, judged: Callable[[dict[str, bool]], str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = ask(*FILTERS, "-o", f"{tmp_path}/file/", db=judged({run("rest", 1): False}))
    assert (result.exit_code, result.stderr) == (
        2,
        (f"Error: cannot make the folder {tmp_path}/file: File exists; choose another path\n"),
    )


def test_one_file_receives_all_filters(
    ask: Ask, judged: Callable[[dict[str, bool]], str], tmp_path: Path
) -> None:
    db = judged({run("rest", 1): False})
    ask(*FILTERS, "-o", str(tmp_path / "filters.json"), db=db)
    assert list(json.loads((tmp_path / "filters.json").read_text())) == ["1"]

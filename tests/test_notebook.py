"""Results in notebooks and as tables of other libraries."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbclient
import nbformat
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel.cli import main
from dirtmodel.queries.results import Rows

STEP = dm.Step.FMAP_COREGISTRATION


class Row(NamedTuple):
    id: int
    run: int | None
    step: dm.Step
    notes: str | None
    decides: bool | None
    created: dt.datetime


TIME = dt.datetime(2025, 7, 13, 10, tzinfo=dt.UTC)
ROWS = Rows(
    Row,
    [
        Row(1, 2, dm.Step.MASK, "<script>\n", True, TIME),
        Row(2, None, dm.Step.DTIFIT, None, None, TIME),
    ],
)


class TestRows:
    def test_a_notebook_shows_them_escaped_with_their_number(self) -> None:
        assert ROWS._repr_html_() == (
            '<table style="white-space: nowrap">\n'
            "<thead><tr><th>id</th><th>run</th><th>step</th><th>notes</th>"
            "<th>decides</th><th>created</th></tr></thead>\n<tbody>\n"
            '<tr><td style="text-align: right">1</td><td style="text-align: right">2</td>'
            '<td style="text-align: left">MASK</td>'
            '<td style="text-align: left">&lt;script&gt;\\n</td>'
            '<td style="text-align: left">true</td>'
            '<td style="text-align: left">2025-07-13 10:00:00.000000</td></tr>\n'
            '<tr><td style="text-align: right">2</td>'
            '<td><span style="opacity: 0.5">NULL</span></td>'
            '<td style="text-align: left">DTIFIT</td>'
            '<td><span style="opacity: 0.5">NULL</span></td>'
            '<td><span style="opacity: 0.5">NULL</span></td>'
            '<td style="text-align: left">2025-07-13 10:00:00.000000</td></tr>\n'
            "</tbody>\n</table>\n<p>2 rows</p>"
        )

    def test_a_notebook_shows_the_first_of_many(self) -> None:
        shown = Rows(Row, [ROWS[0]] * 1_234)._repr_html_()

        assert shown.count("<tr>") == 11
        assert shown.endswith("<p>the first 10 of 1,234 rows</p>")

    def test_a_notebook_leaves_out_columns_without_a_value(self) -> None:
        shown = ROWS[1:]._repr_html_()

        assert "<th>run</th>" not in shown
        assert shown.endswith("<p>1 row; NULL in all rows: run, notes, decides</p>")

    def test_a_notebook_shows_the_columns_of_an_empty_result(self) -> None:
        shown = ROWS[:0]._repr_html_()

        assert shown.count("<th>") == 6
        assert shown.endswith("<p>0 rows</p>")

    def test_long_texts_are_cut(self) -> None:
        (row,) = ROWS[:1]

        shown = Rows(Row, [row._replace(notes="x" * 100)])._repr_html_()

        assert f'title="{"x" * 100}">{"x" * 39}…</td>' in shown

    def test_a_long_text_that_is_equal_in_all_rows_is_shown_once(self) -> None:
        row = ROWS[0]._replace(notes="x" * 50)

        shown = Rows(Row, [row, row])._repr_html_()

        assert "<th>notes</th>" not in shown
        assert shown.endswith(f"<p>2 rows; notes in all rows: {'x' * 50}</p>")

    def test_become_a_pandas_data_frame_with_integers(self) -> None:
        frame = ROWS.to_pandas()

        assert list(frame["run"]) == [2, pd.NA]
        assert str(frame["run"].dtype) == "Int64"
        assert str(frame["decides"].dtype) == "boolean"
        assert frame["created"][0] == TIME

    def test_become_a_polars_data_frame(self) -> None:
        frame = ROWS.to_polars()

        assert frame["run"].to_list() == [2, None]
        assert frame["step"].to_list() == ["MASK", "DTIFIT"]
        assert frame.schema["created"] == pl.Datetime("us", "UTC")

    def test_become_an_arrow_table(self) -> None:
        assert ROWS.to_arrow().schema.field("decides").type == pa.bool_()

    @pytest.mark.parametrize("name", ["pandas", "polars"])
    def test_name_a_library_that_is_missing(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, name, None)

        with pytest.raises(dm.UsageError) as missing:
            getattr(ROWS, f"to_{name}")()

        assert str(missing.value) == f"{name} is not installed; install it with: pip install {name}"


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("coverage", lambda db: dm.Coverage().run(db)),
        ("agreement --step fmap_coregistration", lambda db: dm.Agreement(STEP).run(db)),
        ("consensus --step fmap_coregistration", lambda db: dm.Consensus(STEP).run(db)),
        ("exclusions --kit", lambda db: dm.KitExclusions().run(db)),
        ("diff {db}", lambda db: dm.diff(db, db)),
    ],
)
def test_text_is_what_the_command_prints(command: str, result: Any, demo_db: Path) -> None:
    name, *options = command.format(db=demo_db).split()
    printed = CliRunner().invoke(main, [name, *options, *_database(name, demo_db)]).stdout

    with dm.open(demo_db) as db:
        assert str(result(db)) + "\n" == printed


def _database(command: str, db: Path) -> list[str]:
    return [str(db)] if command == "diff" else ["--db", str(db)]


def test_a_report_is_shown_as_its_text(db: orm.Session) -> None:
    agreement = dm.Agreement(STEP).run(db)

    assert agreement._repr_html_().startswith(
        '<pre style="font-family: monospace">Agreement on FMAP_COREGISTRATION (verdicts; '
    )
    assert "Gwet&#x27;s AC1" in agreement._repr_html_()
    assert repr(agreement) == (
        f"<AgreementResult of FMAP_COREGISTRATION: {agreement.reviews} reviews>"
    )


def test_a_consensus_is_shown_with_its_warnings_and_raters(db: orm.Session) -> None:
    consensus = dataclasses.replace(dm.Consensus(STEP).run(db), warnings=["a < b"])

    shown = consensus._repr_html_()

    assert shown.startswith("<p>Warning: a &lt; b.</p>\n<table ")
    assert "<th>rater</th><th>n_reviews</th>" in shown
    assert repr(consensus) == (
        f"<ConsensusResult of FMAP_COREGISTRATION: {len(consensus.judged)} images>"
    )


CELLS = """
import dirtmodel as dm; db = dm.open({path!r})
dm.Exclusions().run(db)
dm.Agreement("fmap_coregistration").run(db)
dm.Coverage().run(db).to_pandas()
dm.Consensus("fmap_coregistration").run(db)
dm.image(db, 1)
dm.diff(db, db)
db.close()
"""


def test_a_notebook_runs_and_shows_every_result(demo_db: Path, tmp_path: Path) -> None:
    cells = CELLS.format(path=str(demo_db)).strip().splitlines()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])

    nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    outputs = [cell.outputs[0].data if cell.outputs else {} for cell in notebook.cells]
    assert [sorted(set(output) - {"text/plain"}) for output in outputs] == [
        [],
        ["text/html"],
        ["text/html"],
        ["text/html"],
        ["text/html"],
        ["image/png"],
        ["text/html"],
        [],
    ]

"""Rows are written as table, csv, tsv, json, ndjson or parquet, always as a stream."""

import csv
import datetime as dt
import decimal
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wcwidth
from hypothesis import given
from hypothesis import strategies as st

import dirtmodel as dm
from dirtmodel import outputs
from dirtmodel.models import Step
from dirtmodel.outputs import parquet as parquet_format

MOMENT = dt.datetime(2025, 7, 23, 12, 0, 0, 123456, tzinfo=dt.UTC)
ONE_PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90400000000002c00000000010001000002024401003b"
)
NAMES = ["text", "number", "real", "flag", "step", "moment", "blob"]
FULL = ("a b", 7, 0.5, True, Step.DTIFIT, MOMENT, ONE_PIXEL)
TEXT = NAMES[:-1]
NULLS = (None,) * len(NAMES)


def written(
    columns: list[str], rows: Iterable[Any], format_: str, schema: pa.Schema | None = None
) -> bytes:
    file = io.BytesIO()
    outputs.write(columns, rows, format_, file, schema=schema)
    assert not file.closed
    return file.getvalue()


def text(columns: list[str], rows: Iterable[Any], format_: str) -> str:
    return written(columns, rows, format_).decode()


def table_of(columns: list[str], rows: Iterable[Any], width: int) -> tuple[list[str], list[str]]:
    """Return the lines of a table on a terminal, and the columns that it leaves out."""
    file = io.BytesIO()
    left_out = outputs.write(columns, rows, "table", file, width=width)
    return file.getvalue().decode().splitlines(), left_out


def parquet(columns: list[str], rows: Iterable[Any], schema: pa.Schema | None = None) -> pa.Table:
    return pq.read_table(io.BytesIO(written(columns, rows, "parquet", schema)))


class TestFormatOf:
    @pytest.mark.parametrize(
        ("path", "asked", "expected"),
        [
            (None, None, "table"),
            (None, "json", "json"),
            ("a.csv", None, "csv"),
            ("a.TSV", None, "tsv"),
            ("a.json", None, "json"),
            ("a.jsonl", None, "ndjson"),
            ("a.ndjson", None, "ndjson"),
            ("a.parquet", None, "parquet"),
            ("a.txt", None, "table"),
            ("a", None, "table"),
            ("a.csv", "tsv", "tsv"),
            ("a.xlsx", "csv", "csv"),
        ],
    )
    def test_is_the_requested_one_else_that_of_the_suffix(
        self, path: str | None, asked: str | None, expected: str
    ) -> None:
        assert outputs.format_of(Path(path) if path else None, asked) == expected

    def test_refuses_an_unknown_suffix(self) -> None:
        with pytest.raises(dm.OutputError) as caught:
            outputs.format_of(Path("a.xlsx"), None)
        assert str(caught.value) == (
            "the suffix of a.xlsx does not name a format; choose one of .csv, .json, .jsonl, "
            ".ndjson, .parquet, .tsv, .txt, or add --format"
        )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2025-07-23T14:00:00+02:00", "2025-07-23 12:00:00.000000"),
        ("2025-07-23T12:00:00.5", "2025-07-23 12:00:00.500000"),
        ("0044-03-15T12:00:00Z", "0044-03-15 12:00:00.000000"),
    ],
)
def test_times_are_the_text_that_sqlite_holds(text: str, written: str) -> None:
    assert outputs.utc_text(dt.datetime.fromisoformat(text)) == written


class TestTable:
    def test_every_kind_of_value(self) -> None:
        header, _, full, nulls = text(NAMES, [FULL, NULLS], "table").splitlines()
        assert header.split() == NAMES
        assert re.split(r" {2,}", full) == [
            *("a b", "7", "0.5", "true", "DTIFIT"),
            *("2025-07-23 12:00:00.123456", "<GIF 1×1, 43 bytes>"),
        ]
        assert nulls.strip() == ""

    def test_numbers_line_up_on_the_right_and_text_on_the_left(self) -> None:
        rows = [(1.5, 22, "a", None), (100.25, None, "bb", None)]
        assert text(["real", "n", "text", "none"], rows, "table") == (
            "  real    n  text    none\n"
            "------  ---  ------  ------\n"
            "   1.5   22  a\n"
            "100.25       bb\n"
        )

    def test_text_that_looks_like_a_number_stays_text(self) -> None:
        assert text(["run"], [("01",), ("1e5",)], "table").splitlines()[2:] == ["01", "1e5"]

    def test_no_rows(self) -> None:
        assert text(["a", "b"], [], "table") == "a    b\n---  ---\n"

    @pytest.mark.parametrize(
        "nasty", ["\x1b[31mred", "a\nb", "a\tb", "\x07", "\x9b2J", "\u202ertl"]
    )
    def test_control_characters_are_escaped(self, nasty: str) -> None:
        shown = text(["notes"], [(nasty,)], "table")
        assert len(shown.splitlines()) == 3
        assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown) is None

    def test_unicode(self) -> None:
        assert "naïve 🧠 日本" in text(["notes"], [("naïve 🧠 日本",)], "table")

    def test_infinity_and_nan(self) -> None:
        shown = text(["x"], [(math.inf,), (-math.inf,), (math.nan,)], "table")
        assert shown.split()[2:] == ["inf", "-inf", "NaN"]

    def test_wide_numbers_have_no_exponent(self) -> None:
        values = [12345678.9, 999999.7, 123456.7, -1e14, 0.00012345678, 2**53]
        shown = text(["x"], [(value,) for value in values], "table").split()[2:]
        assert shown == [
            *("12345679", "1000000", "123457", "-100000000000000", "0.000123457"),
            "9007199254740992",
        ]

    def test_rows_are_written_as_they_come(self) -> None:
        file = io.BytesIO()

        def rows() -> Iterator[tuple[str]]:
            for _ in range(5_000):
                yield ("x" * 100,)
            assert file.tell() > 300_000

        outputs.write(["a"], rows(), "table", file)

    def test_a_huge_cell_widens_no_other_row(self) -> None:
        shown = text(["notes", "n"], [("x" * 10**6, 1), ("y", 2)], "table").splitlines()
        assert shown[2] == "x" * 10**6 + "    1"
        assert shown[3] == "y" + " " * 99 + "    2"


class TestTableOnATerminal:
    ROW = ("n" * 30, 12345678, "m" * 20, "short")
    NAMES: ClassVar = ["notes", "number", "more", "last"]

    @pytest.mark.parametrize(
        ("width", "widths", "left_out"),
        [
            (100, [30, 8, 20, 6], []),
            (64, [24, 8, 20, 6], []),
            (44, [12, 8, 12, 6], []),
            (43, [12, 8, 12, 5], []),
            (42, [15, 8, 15], ["last"]),
            (36, [12, 8, 12], ["last"]),
            (35, [25, 8], ["more", "last"]),
            (22, [12, 8], ["more", "last"]),
            (21, [21], ["number", "more", "last"]),
        ],
    )
    def test_cells_are_shortened_and_then_columns_left_out(
        self, width: int, widths: list[int], left_out: list[str]
    ) -> None:
        (_, rule, _), found = table_of(self.NAMES, [self.ROW], width)
        assert [len(part) for part in rule.split()] == widths
        assert found == left_out

    def test_what_is_shortened_ends_in_an_ellipsis(self) -> None:
        (*_, row), _ = table_of(["notes", "n"], [("naïve 日本日本日本 text", 7)], 17)
        assert row == "naïve 日本…     7"

    def test_no_row_is_wider_whatever_comes_later(self) -> None:
        rows = [("a", 1), *[("b", 2)] * 1_000, ("x" * 10**6, 10**70), ("日" * 500, None)]
        lines, _ = table_of(["text", "n"], rows, 40)
        assert max(map(wcwidth.width, lines)) <= 40
        assert lines[-2].endswith("…")


class TestCsv:
    def test_every_kind_of_value(self) -> None:
        assert text(TEXT, [FULL[:-1], NULLS[:-1]], "csv") == (
            "text,number,real,flag,step,moment\n"
            "a b,7,0.5,true,DTIFIT,2025-07-23 12:00:00.123456\n"
            ",,,,,\n"
        )

    def test_the_only_null_of_a_row_is_not_an_empty_line(self) -> None:
        assert text(["a"], [(None,), (1,)], "csv") == 'a\n""\n1\n'

    def test_no_rows(self) -> None:
        assert text(["a", "b"], [], "csv") == "a,b\n"

    @given(
        st.lists(
            st.tuples(st.text(st.characters(codec="utf-8")), st.text(alphabet='a,"\n\r\t;|\\ ')),
            max_size=4,
        )
    )
    def test_is_read_back_by_python(self, rows: list[tuple[str, str]]) -> None:
        file = io.StringIO(text(["a", "b"], rows, "csv"), newline="")
        assert [tuple(row) for row in csv.reader(file)] == [("a", "b"), *rows]

    def test_is_read_back_by_pandas_and_duckdb(self, tmp_path: Path) -> None:
        import duckdb
        import pandas as pd

        notes = ["plain", "a,b", 'say "no"', "two\nlines", "lone\rreturn", "<script>", "ü🧠"]
        path = tmp_path / "a.csv"
        path.write_bytes(written(["n", "notes"], list(enumerate(notes)), "csv"))
        assert pd.read_csv(path)["notes"].tolist() == notes
        assert duckdb.read_csv(str(path)).fetchall() == list(enumerate(notes))

    def test_numbers_keep_every_digit(self) -> None:
        assert text(["x", "n"], [(0.1 + 0.2, 2**63)], "csv") == (
            "x,n\n0.30000000000000004,9223372036854775808\n"
        )

    def test_infinity_and_nan(self) -> None:
        assert text(["x"], [(math.inf,), (math.nan,)], "csv") == "x\ninf\nNaN\n"

    def test_lists_objects_and_decimals(self) -> None:
        rows = [(["a", "b"], {"k": None}, decimal.Decimal("2.50"))]
        assert text(["l", "o", "d"], rows, "csv") == 'l,o,d\na b,"{""k"": null}",2.50\n'


class TestTsv:
    def test_every_kind_of_value(self) -> None:
        assert text(TEXT, [FULL[:-1], NULLS[:-1]], "tsv") == (
            "text\tnumber\treal\tflag\tstep\tmoment\n"
            "a b\t7\t0.5\ttrue\tDTIFIT\t2025-07-23 12:00:00.123456\n"
            "n/a\tn/a\tn/a\tn/a\tn/a\tn/a\n"
        )

    @given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text("a\t\n\r"))))
    def test_a_row_is_a_line_and_a_value_a_field(self, rows: list[tuple[str, str]]) -> None:
        lines = text(["a", "b"], rows, "tsv").splitlines()
        assert [line.count("\t") for line in lines] == [1] * (len(rows) + 1)

    def test_a_tab_is_escaped_for_readers_that_split_at_every_tab(self) -> None:
        assert text(["a"], [("x\ty\n",)], "tsv") == "a\nx\\ty\\n\n"

    def test_is_read_back_by_pandas_polars_and_duckdb(self, tmp_path: Path) -> None:
        import duckdb
        import pandas as pd
        import polars as pl

        notes = ["plain", 'say "no"', '"unbalanced', "it's", "# hash", "back\\slash", None, "ü🧠"]
        path = tmp_path / "a.tsv"
        rows = [(note, math.inf if n % 2 else 0.5) for n, note in enumerate(notes)]
        path.write_bytes(written(["notes", "x"], rows, "tsv"))
        by_pandas = pd.read_csv(path, sep="\t", na_values=["n/a"])
        by_polars = pl.read_csv(path, separator="\t", null_values="n/a")
        by_duckdb = duckdb.read_csv(str(path), sep="\t", na_values="n/a")
        assert by_pandas["notes"].fillna("").tolist() == [note or "" for note in notes]
        assert by_pandas["x"].tolist() == [x for _, x in rows]
        assert by_polars.rows() == rows
        assert by_duckdb.fetchall() == rows

    def test_no_rows(self) -> None:
        assert text(["a", "b"], [], "tsv") == "a\tb\n"


class TestJson:
    EXPECTED = (
        {
            "text": "a b",
            "number": 7,
            "real": 0.5,
            "flag": True,
            "step": "DTIFIT",
            "moment": "2025-07-23 12:00:00.123456",
        },
        dict.fromkeys(TEXT),
    )

    def test_every_kind_of_value(self) -> None:
        assert json.loads(text(TEXT, [FULL[:-1], NULLS[:-1]], "json")) == list(self.EXPECTED)

    def test_ndjson_is_one_object_a_line(self) -> None:
        lines = text(TEXT, [FULL[:-1], NULLS[:-1]], "ndjson").splitlines()
        assert [json.loads(line) for line in lines] == list(self.EXPECTED)

    @pytest.mark.parametrize(("format_", "nothing"), [("json", "[\n]\n"), ("ndjson", "")])
    def test_no_rows(self, format_: str, nothing: str) -> None:
        assert text(["a"], [], format_) == nothing

    @pytest.mark.parametrize("format_", ["json", "ndjson"])
    def test_numbers_that_json_does_not_have_are_strings(self, format_: str) -> None:
        values = [math.inf, -math.inf, math.nan, decimal.Decimal("-Infinity"), [math.inf]]
        (row,) = [text(["a", "b", "c", "d", "e"], [values], format_).strip("[]\n")]
        assert json.loads(row, parse_constant=pytest.fail) == {
            "a": "Infinity",
            "b": "-Infinity",
            "c": "NaN",
            "d": "-Infinity",
            "e": ["Infinity"],
        }

    def test_decimals_of_postgres_are_numbers(self) -> None:
        rows = [(decimal.Decimal(12),), (decimal.Decimal("2.5000"),)]
        assert text(["x"], rows, "ndjson") == '{"x": 12}\n{"x": 2.5}\n'

    def test_lists_and_objects_stay_what_they_are(self) -> None:
        assert text(["x"], [(({"a": Step.MASK}, 1.5),)], "ndjson") == (
            '{"x": [{"a": "MASK"}, 1.5]}\n'
        )

    def test_unicode_and_line_ends(self) -> None:
        (line,) = text(["x"], [("ü🧠\n\r\x00",)], "ndjson").splitlines()
        assert json.loads(line) == {"x": "ü🧠\n\r\x00"}


class TestParquet:
    def test_every_kind_of_value(self) -> None:
        table = parquet(NAMES, [FULL, NULLS])
        assert [str(field.type) for field in table.schema] == [
            "string",
            "int64",
            "double",
            "bool",
            "string",
            "timestamp[us, tz=UTC]",
            "binary",
        ]
        assert table.to_pylist() == [
            dict(zip(NAMES, (*FULL[:4], "DTIFIT", MOMENT, ONE_PIXEL), strict=True)),
            dict.fromkeys(NAMES),
        ]

    def test_times_of_any_zone_are_utc(self) -> None:
        moment = MOMENT.astimezone(dt.timezone(dt.timedelta(hours=2)))
        (field,) = parquet(["moment"], [(moment,)]).schema
        assert field.type == pa.timestamp("us", "UTC")

    def test_pictures_are_written_a_few_at_a_time(self) -> None:
        picture = bytes(1 << 20)
        file = io.BytesIO(written(["img"], [(picture,)] * 40, "parquet"))
        groups = pq.ParquetFile(file).metadata
        assert max(groups.row_group(n).num_rows for n in range(groups.num_row_groups)) <= 17

    def test_no_rows(self) -> None:
        table = parquet(["a", "b"], [])
        assert (table.column_names, len(table)) == (["a", "b"], 0)

    def test_no_rows_of_known_types(self) -> None:
        schema = pa.schema([("a", pa.int64())])
        assert parquet(["a"], [], schema).schema == schema

    def test_types_agree_across_chunks(self) -> None:
        n = parquet_format._CHUNK
        rows = [*([(None, 1)] * n), *([("late", 2.5)] * n), *([(None, None)] * 2)]
        table = parquet(["a", "b"], rows)
        assert [str(field.type) for field in table.schema] == ["string", "double"]
        assert table["a"].to_pylist() == [row[0] for row in rows]
        assert table["b"].to_pylist() == [row[1] for row in rows]

    @pytest.mark.parametrize(
        ("first", "second"), [(1, "a"), ("a", 1.5), (True, 7), (MOMENT, "2025"), (2**53 + 1, 0.5)]
    )
    @pytest.mark.parametrize("apart", [False, True], ids=["one chunk", "two chunks"])
    def test_a_column_of_several_types_is_refused(
        self, first: object, second: object, *, apart: bool
    ) -> None:
        rows = [(0, first)] * (parquet_format._CHUNK if apart else 1) + [(0, second)]
        with pytest.raises(
            dm.OutputError,
            match=r"^column mixed has values of several types, which parquet does not allow; "
            r"cast it in the query, or choose --format csv\Z",
        ):
            parquet(["n", "mixed"], rows)

    def test_an_integer_beyond_64_bits_is_refused(self) -> None:
        with pytest.raises(dm.OutputError, match="column n has values of several types"):
            parquet(["n"], [(2**70,)])

    def test_leaves_nothing_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        parquet(["n"], [(1,)] * (parquet_format._CHUNK + 1))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_", ["json", "ndjson", "parquet"])
def test_two_columns_of_one_name_are_refused_where_one_would_be_lost(format_: str) -> None:
    with pytest.raises(
        dm.OutputError,
        match=rf"^several columns are called id, and {format_} can keep only one; "
        r"rename them with AS, or choose --format csv\Z",
    ):
        written(["id", "id"], [(1, 2)], format_)


def test_two_columns_of_one_name_are_fine_in_csv() -> None:
    assert text(["id", "id"], [(1, 2)], "csv") == "id,id\n1,2\n"


class TestBytes:
    @pytest.mark.parametrize("format_", ["csv", "tsv", "json", "ndjson"])
    def test_are_refused_by_text_formats(self, format_: str) -> None:
        file = io.BytesIO()
        with pytest.raises(dm.OutputError) as caught:
            outputs.write(["id", "img"], [(1, b"\x89PNG\r\n\x1a\n rest")], format_, file)
        assert str(caught.value) == (
            f"column img has pictures or other bytes, which {format_} cannot contain; leave it "
            "out, choose parquet, or write the pictures as files with: dirtmodel extract"
        )
        assert file.getvalue() == b""

    def test_are_described_in_a_table(self) -> None:
        assert outputs.describe_bytes(ONE_PIXEL) == "<GIF 1×1, 43 bytes>"
        assert outputs.describe_bytes(memoryview(ONE_PIXEL)) == "<GIF 1×1, 43 bytes>"
        assert outputs.describe_bytes(b"") == "<0 bytes>"
        assert outputs.describe_bytes(b"x" * 25_400) == "<25 KB>"


class TestStreaming:
    @pytest.mark.parametrize("format_", ["csv", "tsv", "json", "ndjson"])
    def test_rows_are_written_as_they_come(self, format_: str) -> None:
        file = io.BytesIO()
        sizes = []

        def rows() -> Iterator[tuple[str]]:
            for _ in range(4):
                yield ("x" * 100_000,)
                sizes.append(file.tell())

        outputs.write(["a"], rows(), format_, file)
        assert sizes[1] < sizes[2] < sizes[3]

    @pytest.mark.parametrize("format_", ["csv", "parquet"])
    def test_many_rows_need_little_memory(self, format_: str, tmp_path: Path) -> None:
        program = (
            "import re, sys\n"
            "import pyarrow.parquet\n"
            "from dirtmodel import outputs\n"
            # Not ru_maxrss, which a process inherits from its parent.
            "def peak():\n"
            "    status = open('/proc/self/status').read()\n"
            "    return int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) // 1024\n"
            "def rows(n): return ((i, 'note ' * 8 + str(i)) for i in range(n))\n"
            "with open(sys.argv[2], 'wb') as file:\n"
            "    outputs.write(['id', 'notes'], rows(20_000), sys.argv[1], file)\n"
            "before = peak()\n"
            "with open(sys.argv[2], 'wb') as file:\n"
            "    outputs.write(['id', 'notes'], rows(200_000), sys.argv[1], file)\n"
            "print(peak() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, format_, tmp_path / "out"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent.parent,
        )
        assert int(done.stdout) < 20


def interrupted_write(path: Path) -> None:
    with outputs.destination(path, replace=True) as file:
        file.write(b"new")
        raise KeyboardInterrupt


class TestDestination:
    def test_does_not_replace_databases(self, demo_db: Path, tmp_path: Path) -> None:
        path = Path(shutil.copy(demo_db, tmp_path))
        with pytest.raises(dm.OutputError) as caught, outputs.destination(path, replace=True):
            pass
        assert str(caught.value) == (
            f"{path} is a SQLite database and will not be overwritten; choose another path"
        )
        assert path.read_bytes() == demo_db.read_bytes()

    def test_takes_its_name_when_it_is_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        with outputs.destination(path) as file:
            file.write(b"new")
            assert not path.exists()
        assert path.read_bytes() == b"new"
        assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]

    def test_a_failure_leaves_the_existing_file_unchanged(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt):
            interrupted_write(path)
        assert path.read_bytes() == b"old"
        assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]

    def test_a_full_disk_leaves_the_existing_file_unchanged(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_bytes(b"old")
        with (
            pytest.raises(
                dm.OutputError,
                match=rf"^cannot write {path}: No space left on device; "
                r"the existing file is left unchanged\Z",
            ),
            outputs.destination(path, replace=True),
        ):
            raise OSError(28, "No space left on device")
        assert path.read_bytes() == b"old"

    def test_a_missing_folder_is_reported(self, tmp_path: Path) -> None:
        path = tmp_path / "no" / "a.csv"
        with (
            pytest.raises(
                dm.OutputError,
                match=rf"^cannot write {path}: No such file or directory; "
                r"choose another path\Z",
            ),
            outputs.destination(path),
        ):
            pytest.fail("nothing is computed for it")

    def test_permissions_are_those_of_any_new_file(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            with outputs.destination(tmp_path / "a.csv"):
                pass
        finally:
            os.umask(before)
        assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o640

    def test_permissions_of_the_existing_file_are_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.touch(0o600)
        with outputs.destination(path, replace=True) as file:
            file.write(b"new")
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("kind", ["file", "link", "dangling link", "link to a device"])
    def test_an_existing_file_is_refused_without_replace(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "a.csv"
        if kind == "file":
            path.touch()
        else:
            path.symlink_to({"link": __file__, "dangling link": "no"}.get(kind, os.devnull))
        with (
            pytest.raises(
                dm.OutputError,
                match=rf"^{path} exists already; choose another path, or add --replace "
                r"\(in Python replace=True\)\Z",
            ),
            outputs.destination(path),
        ):
            pytest.fail("nothing is computed for it")

    def test_a_file_that_appears_meanwhile_is_not_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        with pytest.raises(dm.OutputError, match="exists already"), outputs.destination(path):
            path.write_bytes(b"theirs")
        assert path.read_bytes() == b"theirs"

    @pytest.mark.parametrize("target", ["target.csv", os.devnull, "missing"])
    def test_a_replacement_takes_the_place_of_the_link_itself(
        self, tmp_path: Path, target: str
    ) -> None:
        (tmp_path / "target.csv").write_bytes(b"theirs")
        link = tmp_path / "link.csv"
        link.symlink_to(target)
        with outputs.destination(link, replace=True) as file:
            file.write(b"new")
        assert not link.is_symlink()
        assert link.read_bytes() == b"new"
        assert (tmp_path / "target.csv").read_bytes() == b"theirs"

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with (
            pytest.raises(
                dm.OutputError, match=rf"^{tmp_path} is a folder; choose the path of a file\Z"
            ),
            outputs.destination(tmp_path, replace=True),
        ):
            pytest.fail("nothing is computed for it")

    def test_a_device_stays_a_device(self) -> None:
        with outputs.destination(Path(os.devnull)) as file:
            file.write(b"gone")
        assert Path(os.devnull).is_char_device()

    def test_a_pipe_can_be_written_to_by_its_dev_fd_name(self) -> None:
        read, write = os.pipe()
        with outputs.destination(Path(f"/dev/fd/{write}")) as file:
            file.write(b"new")
        os.close(write)
        with os.fdopen(read, "rb") as reader:
            assert reader.read() == b"new"

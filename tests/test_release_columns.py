"""Physical types: the same content becomes the same canonical array."""

import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirtmodel.release.columns import COLUMNS, OPTIONAL, Column, Kind
from dirtmodel.release.conversion import accepts, convert, text_of

CANONICAL = {
    Kind.BIGINT: pa.int64(),
    Kind.INTEGER: pa.int64(),
    Kind.DOUBLE: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TEXT: pa.large_string(),
    Kind.INSTANT: pa.timestamp("us"),
    Kind.BINARY: pa.large_binary(),
    Kind.DATE: pa.date32(),
}
INTEGERS = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
DECIMALS = [pa.decimal32(9, 2), pa.decimal64(12, 2), pa.decimal128(20, 2), pa.decimal256(40, 2)]
NUMBERS = [Kind.BIGINT, Kind.INTEGER, Kind.DOUBLE]


def converted(kind: Kind, array: Any) -> tuple[list[Any], list[bool]]:
    """Return the canonical values and which of the values are rejected, and check the types."""
    assert accepts(kind, array.type)
    result, bad = convert(Column("some", kind), array)
    assert result.type == CANONICAL[kind]
    assert bad.dtype == np.bool_
    assert len(result) == len(bad) == len(array)
    return result.to_pylist(), bad.tolist()


def kept(kind: Kind, array: Any) -> list[Any]:
    """Return the canonical values of an array in which no value is rejected."""
    values, bad = converted(kind, array)
    assert not any(bad)
    return values


def lost(kind: Kind, array: Any) -> list[bool]:
    """Return which values are rejected; they are NULL in the result."""
    values, bad = converted(kind, array)
    assert all(value is None for value, is_bad in zip(values, bad, strict=True) if is_bad)
    return bad


def test_the_layout_is_the_documented_one() -> None:
    assert {table: [column.name for column in columns] for table, columns in COLUMNS.items()} == {
        "session": ["id", "step", "user", "created"],
        "image": ["id", "img", "slice", "file1", "file2", "display", "step", "created"],
        "rating": ["id", "source_data_issue", "rating", "img_id", "session", "notes", "created"],
        "coordinate": [
            *("id", "source_data_issue", "x", "y", "img_id", "session", "notes", "created"),
        ],
    }
    nullable = {c.name for columns in COLUMNS.values() for c in columns if c.nullable}
    assert nullable == {"user", "slice", "file2", "x", "y", "notes"}
    assert {"notes"} == OPTIONAL


# -- whole numbers


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("physical", INTEGERS, ids=str)
def test_integers_may_have_any_width(kind: Kind, physical: Any) -> None:
    assert kept(kind, pa.array([3, None, 0, 127], physical)) == [3, None, 0, 127]


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("physical", FLOATS, ids=str)
def test_integral_floats_are_integers_and_nan_is_null(kind: Kind, physical: Any) -> None:
    numbers = np.array([3, np.nan, 0, -127], physical.to_pandas_dtype())

    assert kept(kind, pa.array(numbers, physical)) == [3, None, 0, -127]


@pytest.mark.parametrize("kind", [*NUMBERS, Kind.BOOLEAN])
@pytest.mark.parametrize("physical", DECIMALS, ids=str)
def test_integral_decimal_numbers_are_integers(kind: Kind, physical: Any) -> None:
    numbers = [decimal.Decimal("1.00"), None, decimal.Decimal(0)]

    assert kept(kind, pa.array(numbers, physical)) == [1, None, 0]


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("physical", TEXTS, ids=str)
def test_numbers_may_be_text(kind: Kind, physical: Any) -> None:
    assert kept(kind, pa.array(["3", None, "-0", "007", "-12"], physical)) == [3, None, 0, 7, -12]


@pytest.mark.parametrize("kind", CANONICAL)
def test_a_column_may_hold_only_nulls(kind: Kind) -> None:
    assert kept(kind, pa.nulls(3)) == [None, None, None]


@pytest.mark.parametrize("kind", CANONICAL)
def test_a_column_may_have_no_rows(kind: Kind) -> None:
    assert kept(kind, pa.nulls(0, CANONICAL[kind])) == []


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_every_64_bit_integer_survives(numbers: list[int | None]) -> None:
    texts = [None if number is None else str(number) for number in numbers]

    assert kept(Kind.BIGINT, pa.array(numbers, pa.int64())) == numbers
    assert kept(Kind.BIGINT, pa.array(texts, pa.string())) == numbers


@given(st.lists(st.none() | st.integers(-(2**53) + 1, 2**53 - 1)))
def test_every_integer_below_2_to_53_survives_as_a_double(numbers: list[int | None]) -> None:
    assert kept(Kind.BIGINT, pa.array(numbers, pa.float64())) == numbers


@given(st.lists(st.floats(width=64), max_size=20))
def test_a_double_is_an_exact_integer_or_rejected(numbers: list[float]) -> None:
    values, bad = converted(Kind.BIGINT, pa.array(numbers, pa.float64()))

    for number, value, is_bad in zip(numbers, values, bad, strict=True):
        if math.isnan(number):
            assert value is None
            assert not is_bad
        else:
            assert (value is None) == is_bad
            assert is_bad or value == number


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, 2.0]),
        pa.array([math.inf, 0.0]),
        pa.array([-math.inf, 0.0]),
        # 2^53 as a double may have been 2^53 + 1.
        pa.array([2.0**53, 2.0**53 - 1]),
        pa.array([-(2.0**53), -(2.0**53) + 1]),
        pa.array([2.0**24, 2.0**24 - 1], pa.float32()),
        pa.array(np.array([2048, 2047], np.float16)),
        pa.array([2**63, 2**63 - 1], pa.uint64()),
        pa.array([decimal.Decimal("1.50"), decimal.Decimal(1)], pa.decimal128(10, 2)),
        pa.array([decimal.Decimal(2**63), decimal.Decimal(1)], pa.decimal128(38)),
        pa.array(["9223372036854775808", "9223372036854775807"]),
        pa.array(["-9223372036854775809", "-9223372036854775808"]),
        pa.array(["10000000000000000000", "1000000000000000000"]),
        *(pa.array([text, "1"]) for text in ("abc", "", " 1", "1 ", "1.0", "1e3", "+1", "１")),
    ],
    ids=lambda array: f"{array.type} {array[0]}",
)
def test_a_value_that_is_not_a_64_bit_integer_is_rejected(array: Any) -> None:
    assert lost(Kind.BIGINT, array) == [True, False]


@pytest.mark.parametrize(
    "numbers", [[2**31, 2**31 - 1], [-(2**31) - 1, -(2**31)]], ids=["above", "below"]
)
@pytest.mark.parametrize("physical", [pa.int64(), pa.float64(), pa.string()], ids=str)
def test_a_value_that_needs_more_than_32_bits_is_rejected(
    numbers: list[int], physical: Any
) -> None:
    array = pa.array(numbers).cast(physical)

    assert lost(Kind.INTEGER, array) == [True, False]


# -- numbers


@given(st.lists(st.none() | st.floats(allow_nan=False)))
def test_every_double_survives_also_as_text(numbers: list[float | None]) -> None:
    texts = [None if number is None else repr(number) for number in numbers]

    assert kept(Kind.DOUBLE, pa.array(numbers, pa.float64())) == numbers
    assert kept(Kind.DOUBLE, pa.array(texts, pa.large_string())) == numbers


@given(st.lists(st.none() | st.decimals(-9999, 9999, places=11), max_size=20))
def test_every_decimal_number_of_15_digits_survives(numbers: list[decimal.Decimal | None]) -> None:
    expected = [None if number is None else float(number) for number in numbers]

    assert kept(Kind.DOUBLE, pa.array(numbers, pa.decimal128(15, 11))) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("-0.28", -0.28), ("+5", 5.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0)),
        *(("1.5E-2", 0.015), ("480.2", 480.2), ("-inf", -math.inf), ("Infinity", math.inf)),
        *(("+Infinity", math.inf), ("INF", math.inf), ("nan", None), ("NaN", None), ("-nan", None)),
    ],
)
def test_numbers_may_be_spelt_in_several_ways(text: str, number: float | None) -> None:
    assert kept(Kind.DOUBLE, pa.array([text, None])) == [number, None]


def test_nan_is_null_and_infinity_is_not() -> None:
    numbers = pa.array([math.nan, math.inf, -math.inf, -0.28])

    assert kept(Kind.DOUBLE, numbers) == [None, math.inf, -math.inf, -0.28]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([2**53 + 1, 2**53]),
        pa.array([-(2**53) - 1, -(2**53)]),
        pa.array([2**64 - 1, 0], pa.uint64()),
        pa.array([decimal.Decimal(2**53 + 1), decimal.Decimal(2**70)], pa.decimal128(38)),
        *(pa.array([text, "1"]) for text in ("abc", "", "1,5", "1_000", "0x1", ".", "e5", "1e")),
        # These values do not stand for infinity.
        pa.array(["1e400", "inf"]),
        pa.array(["-1e400", "-inf"]),
    ],
    ids=lambda array: f"{array.type} {array[0]}",
)
def test_a_value_that_is_not_a_double_is_rejected(array: Any) -> None:
    assert lost(Kind.DOUBLE, array) == [True, False]


# -- true or false


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, False, None]),
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())),
        *(pa.array([1, 0, None], physical) for physical in INTEGERS),
        *(pa.array(np.array([1, 0, np.nan], p.to_pandas_dtype()), p) for p in FLOATS),
        *(pa.array(["t", "f", None], physical) for physical in TEXTS),
        pa.array(["true", "false", None]),
        pa.array(["TRUE", "False", None]),
        pa.array(["1", "0", None]),
    ],
    ids=lambda array: f"{array.type} {array[0]}",
)
def test_booleans_may_be_spelt_in_several_ways(array: Any) -> None:
    assert kept(Kind.BOOLEAN, array) == [True, False, None]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([2, 1]),
        pa.array([-1, 0]),
        pa.array([2**64 - 1, 0], pa.uint64()),
        pa.array([0.5, 1.0]),
        pa.array(["yes", "t"]),
        pa.array(["", "f"]),
    ],
    ids=lambda array: f"{array.type} {array[0]}",
)
def test_a_value_that_is_neither_true_nor_false_is_rejected(array: Any) -> None:
    assert lost(Kind.BOOLEAN, array) == [True, False]


# -- text and bytes


@pytest.mark.parametrize("physical", TEXTS, ids=str)
def test_text_is_kept_verbatim(physical: Any) -> None:
    texts = ["señal 🧠", None, "", "NULL", "nan", " a\n", "\\n", "a\0b"]

    assert kept(Kind.TEXT, pa.array(texts, physical)) == texts


@pytest.mark.parametrize("name", ["user", "file2", "notes"])
@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", "\u00a0\u3000"])
def test_blank_text_is_null_where_text_may_be_missing(name: str, blank: str) -> None:
    column = next(c for columns in COLUMNS.values() for c in columns if c.name == name)

    values, bad = convert(column, pa.array(["a ", blank, None]))

    assert values.to_pylist() == ["a ", None, None]
    assert not bad.any()


def test_blank_text_of_a_column_that_dirt_does_not_have_is_kept() -> None:
    column = Column("reason", Kind.TEXT, nullable=True, extra=True)

    assert convert(column, pa.array([" ", ""]))[0].to_pylist() == [" ", ""]


@pytest.mark.parametrize("physical", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_bytes_are_text_if_they_are_utf_8(physical: Any) -> None:
    assert kept(Kind.TEXT, pa.array(["señal".encode(), None], physical)) == ["señal", None]
    assert lost(Kind.TEXT, pa.array([b"\xff", b"a"], physical)) == [True, False]


def test_integers_are_text() -> None:
    assert kept(Kind.TEXT, pa.array([101, None])) == ["101", None]


@pytest.mark.parametrize(
    "physical", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)], ids=str
)
def test_bytes_are_kept(physical: Any) -> None:
    values = [b"\xff\0", None, b"ab"]

    assert kept(Kind.BINARY, pa.array(values, physical)) == values
    assert kept(Kind.BINARY, pa.array(values, physical).slice(1)) == values[1:]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Kind.BIGINT, pa.array([5, None, 5])),
        (Kind.INTEGER, pa.array(["5", None, "5"])),
        (Kind.DOUBLE, pa.array([0.5, None, 0.5])),
        (Kind.TEXT, pa.array(["a", None, "a"])),
        (Kind.BINARY, pa.array([b"a", None, b"a"])),
        (Kind.BOOLEAN, pa.array([True, None, True])),
        (Kind.INSTANT, pa.array([5, None, 5], pa.timestamp("us"))),
    ],
    ids=str,
)
def test_dictionaries_are_what_their_values_are(kind: Kind, values: Any) -> None:
    assert kept(kind, values.dictionary_encode()) == kept(kind, values)


# -- timestamps

MOMENT = dt.datetime(2025, 7, 26, 12, 34, 56, tzinfo=dt.UTC)


@pytest.mark.parametrize("zone", [None, "UTC", "America/Chicago", "+02:00"])
@pytest.mark.parametrize(
    ("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
def test_ticks_are_utc_in_every_unit_and_zone(unit: str, per_second: int, zone: str | None) -> None:
    ticks = int(MOMENT.timestamp()) * per_second

    moments = kept(Kind.INSTANT, pa.array([ticks, None], pa.timestamp(unit, zone)))

    assert moments == [MOMENT.replace(tzinfo=None), None]


@given(st.lists(st.none() | st.datetimes(), max_size=20))
def test_every_datetime_of_python_survives(moments: list[dt.datetime | None]) -> None:
    aware = [moment and moment.replace(tzinfo=dt.UTC) for moment in moments]

    assert kept(Kind.INSTANT, pa.array(moments, pa.timestamp("us"))) == moments
    assert kept(Kind.INSTANT, pa.array(aware, pa.timestamp("us", "UTC"))) == moments


@pytest.mark.parametrize("physical", TEXTS, ids=str)
@pytest.mark.parametrize(
    "text",
    [
        "2025-07-26 12:34:56",
        "2025-07-26T12:34:56",
        "2025-07-26 12:34:56.000000",
        "2025-07-26T12:34:56.000000000Z",
        "2025-07-26 12:34:56+00",
        "2025-07-26 07:34:56.000-05",
        "2025-07-26T18:04:56.0+05:30",
        "2025-07-26T18:04:56+0530",
    ],
)
def test_iso_text_is_utc_unless_it_names_a_zone(text: str, physical: Any) -> None:
    assert kept(Kind.INSTANT, pa.array([text, None], physical)) == [
        MOMENT.replace(tzinfo=None),
        None,
    ]


def test_dates_are_midnights() -> None:
    midnight = dt.datetime(2025, 7, 26)  # noqa: DTZ001 - canonical instants are naive

    assert kept(Kind.INSTANT, pa.array([midnight.date(), None])) == [midnight, None]
    assert kept(Kind.INSTANT, pa.array(["2025-07-26", None])) == [midnight, None]


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "infinity", "-infinity", "0044-03-15 00:00:00+00 BC", "1753533296"),
        *("10000-01-01 00:00:00+00", "0000-12-31 00:00:00", "0001-01-01 00:00:00+01"),
        *("2025-02-30 00:00:00", "2025-07-26 24:00:00", "2025-07-26 12:34:56.123456789"),
    ],
)
def test_text_that_is_not_a_time_of_the_years_1_to_9999_is_rejected(text: str) -> None:
    assert lost(Kind.INSTANT, pa.array([text, "2025-07-26"])) == [True, False]


@pytest.mark.parametrize(
    ("ticks", "unit"),
    [
        ([1_001, 1_000], "ns"),
        ([-1, -1_000], "ns"),
        ([253_402_300_800, 253_402_300_799], "s"),
        ([-62_135_596_801, -62_135_596_800], "s"),
        ([2**63 - 1, 0], "s"),
        ([-(2**63), 0], "ms"),
        ([2**63 - 1, 0], "us"),
    ],
)
def test_times_finer_than_a_microsecond_or_beyond_the_years_1_to_9999_are_rejected(
    ticks: list[int], unit: str
) -> None:
    assert lost(Kind.INSTANT, pa.array(ticks, pa.timestamp(unit))) == [True, False]


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (pa.scalar(1_001, pa.timestamp("ns")), "1970-01-01 00:00:00.000001001"),
        (pa.scalar(0, pa.timestamp("us", "America/Chicago")), "1970-01-01 00:00:00.000000"),
        (pa.array([0], pa.timestamp("s")).dictionary_encode()[0], "1970-01-01 00:00:00"),
        (pa.scalar(None, pa.timestamp("us")), None),
        (pa.scalar("1970"), None),
    ],
    ids=str,
)
def test_timestamps_are_written_in_utc_to_their_last_digit(scalar: Any, text: str | None) -> None:
    assert text_of(scalar) == text


@pytest.mark.parametrize(
    ("days", "text"), [(2_932_897, "10000-01-01"), (-719_163, "0000-12-31"), (0, "1970-01-01")]
)
def test_dates_beyond_those_of_python_are_written(days: int, text: str) -> None:
    assert text_of(pa.array([days], pa.int32()).cast(pa.date32())[0]) == text


@pytest.mark.parametrize("ticks", [2**63 - 1, -(2**63)])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_beyond_the_calendar_can_be_written(unit: str, ticks: int) -> None:
    assert text_of(pa.scalar(ticks, pa.timestamp(unit)))


# -- dates and decimal numbers, which only columns that DIRT does not have can hold


@pytest.mark.parametrize(("physical", "per_day"), [(pa.date32(), 1), (pa.date64(), 86_400_000)])
def test_dates_of_the_years_1_to_9999_are_kept(physical: Any, per_day: int) -> None:
    days = [-719_162, 0, 2_932_896]
    width = pa.int32() if per_day == 1 else pa.int64()
    array = pa.array([*(day * per_day for day in days), None], width).cast(physical)

    dates = kept(Kind.DATE, array)

    assert dates == [dt.date.min, dt.date(1970, 1, 1), dt.date.max, None]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([-719_163, 0], pa.int32()).cast(pa.date32()),
        pa.array([2_932_897, 0], pa.int32()).cast(pa.date32()),
        pa.array([2**31 - 1, 0], pa.int32()).cast(pa.date32()),
        pa.array([2**63 - 1, 0], pa.int64()).cast(pa.date64()),
        pa.array([1, 0], pa.int64()).cast(pa.date64()),
    ],
    ids=["year 0", "year 10000", "last of date32", "last of date64", "within a day"],
)
def test_a_value_that_is_not_a_date_of_the_years_1_to_9999_is_rejected(array: Any) -> None:
    assert lost(Kind.DATE, array) == [True, False]


@pytest.mark.parametrize("physical", [pa.decimal128(10, 2), pa.decimal256(10, 2)], ids=str)
def test_decimal_numbers_are_kept(physical: Any) -> None:
    values = [decimal.Decimal("12345678.90"), None, decimal.Decimal("-0.01")]

    column = Column("some", Kind.DECIMAL, digits=(10, 2))

    array, bad = convert(column, pa.array(values, physical))

    assert array.to_pylist() == values
    assert not bad.any()


# -- refusals

STRANGE = [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.duration("us")]


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        *((kind, [pa.bool_(), pa.date32(), pa.binary(), pa.timestamp("us")]) for kind in NUMBERS),
        (Kind.BOOLEAN, [pa.date32(), pa.binary(), pa.timestamp("us")]),
        (Kind.DATE, [pa.int32(), pa.timestamp("us"), pa.binary()]),
        (Kind.TEXT, [pa.float64(), pa.bool_(), pa.decimal128(3), pa.timestamp("us")]),
        (Kind.INSTANT, [pa.int64(), pa.float64(), pa.time64("us"), pa.binary()]),
        (Kind.BINARY, [pa.int64(), pa.string(), pa.large_string()]),
    ],
    ids=str,
)
def test_types_that_mean_something_else_are_refused(kind: Kind, refused: list[Any]) -> None:
    for physical in [*refused, *STRANGE]:
        assert not accepts(kind, physical), physical
        assert not accepts(kind, pa.dictionary(pa.int32(), physical)), physical

"""Columns that are read value by value have the values that Arrow reads, in little memory."""

import dataclasses
import itertools
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dirtmodel import groups, sample
from dirtmodel.release import check, find, memory, pages, streaming
from dirtmodel.release.layout import TABLES

CODECS = ["none", "snappy", "gzip", "brotli", "zstd"]


def seeded(seed: str | int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - test data


def values_of(rng: random.Random, *, nullable: bool) -> Iterator[bytes | None]:
    """Yield random bytes, repetitive text and repeated bytes; some values are NULL or empty."""
    kinds = (
        rng.randbytes,
        lambda n: (b"a note of reviewer %d; " % rng.randrange(9) * (n // 20 + 1))[:n],
        lambda n: bytes([rng.randrange(3)]) * n,
    )
    for value, _ in itertools.product(kinds, range(50)):
        is_null = rng.random() < 0.2
        n = rng.choice([0, 1, 7, 100, 3_000, 40_000])
        yield value(n) if not is_null else None if nullable else b""


def read(path: Path, *, nullable: bool) -> list[bytes | None]:
    return list(streaming.values(path, 1, nullable=nullable))


def all_pages(path: Path) -> list[tuple[pages.Chunk, pages.Page]]:
    with path.open("rb") as file:
        return [
            (group[1], page) for group in pages.chunks(file) for page in pages.pages(file, group[1])
        ]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_values_are_those_that_were_written(
    codec: str, dictionary: bool, version: str, tmp_path: Path
) -> None:
    rng = seeded(f"{codec} {dictionary} {version}")
    path = tmp_path / "x.parquet"
    for nullable, page_size in itertools.product([True, False], [1, 10_000, 1 << 20]):
        written = list(values_of(rng, nullable=nullable))
        schema = pa.schema([("id", pa.int64()), pa.field("x", pa.large_binary(), nullable)])
        pq.write_table(
            pa.table([pa.array(range(len(written))), pa.array(written, "large_binary")], schema),
            path,
            compression=codec,
            use_dictionary=dictionary,
            data_page_version=version,
            data_page_size=page_size,
            # In several row groups; a dictionary for some of the pages, or all of them.
            row_group_size=rng.choice([77, 1_000]),
            write_batch_size=rng.choice([1, 16, 1_024]),
            dictionary_pagesize_limit=rng.choice([1_000, 1 << 20]),
            write_page_checksum=True,
        )

        assert all(streaming.is_readable(*page) for page in all_pages(path))
        assert read(path, nullable=nullable) == written


def by_polars(table: Any, path: Path, codec: Any) -> None:
    pl.from_arrow(table).write_parquet(path, compression=codec)  # type: ignore[union-attr]  # a frame, from a table


def by_duckdb(table: Any, path: Path, codec: str) -> None:
    with duckdb.connect() as connection:
        connection.register("written", table)
        connection.execute(f"COPY written TO '{path}' (COMPRESSION {codec})")


@pytest.mark.parametrize("write", [by_polars, by_duckdb])
@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "gzip", "zstd"])
def test_values_of_other_writers_are_the_same(write: Any, codec: str, tmp_path: Path) -> None:
    written = list(values_of(seeded(codec), nullable=True))
    table = pa.table({"id": pa.array(range(len(written))), "x": pa.array(written, "binary")})
    write(table, tmp_path / "x.parquet", codec)

    assert read(tmp_path / "x.parquet", nullable=True) == written


@pytest.mark.parametrize("codec", CODECS)
def test_damage_is_an_error_or_changes_nothing(codec: str, tmp_path: Path) -> None:
    rng = seeded(codec)
    written = list(values_of(rng, nullable=True))
    path = tmp_path / "x.parquet"
    table = pa.table({"id": range(len(written)), "x": pa.array(written, "binary")})
    pq.write_table(table, path, compression=codec, write_page_checksum=True)
    sound = path.read_bytes()
    places = [(chunk.start, page.start + page.n_stored_bytes) for chunk, page in all_pages(path)]

    for _ in range(30):
        damaged = bytearray(sound)
        damaged[rng.randrange(*rng.choice(places))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert read(path, nullable=True) == written
        except (OSError, pa.ArrowException) as error:
            assert str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
def test_little_of_a_page_is_kept_in_memory(
    codec: str, dictionary: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_HELD_BYTES", 1 << 20)
    path = tmp_path / "x.parquet"
    pictures = [seeded(n).randbytes(100_000) for n in range(100)]
    table = pa.table({"id": range(100), "x": pa.array(pictures, "binary")})
    pq.write_table(table, path, compression=codec, use_dictionary=dictionary)
    assert max(page.n_bytes for _, page in all_pages(path)) > 10_000_000

    tracemalloc.start()
    for read, picture in zip(streaming.values(path, 1, nullable=True), pictures, strict=True):
        assert read == picture
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 5_000_000


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return sample.make_tables(subjects=1, slices=1, pictures="tiny")


@pytest.mark.parametrize("compression", ["snappy", "lz4"])
def test_a_release_reads_alike_whatever_is_streamed(
    compression: str, tables: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = find(sample.write_tables(tables, tmp_path / "release"))
    for table in TABLES:
        path = release.path(table)
        pq.write_table(pq.read_table(path), path, compression=compression)
    names = {table: release.schema(table).names for table in TABLES}

    def rows() -> dict[str, list[Any]]:
        anew = dataclasses.replace(release, _needs={})
        return {
            table: [row for batch in anew.read(table, names[table]) for row in batch.to_pylist()]
            for table in TABLES
        }

    expected = rows(), check(release.folder)
    monkeypatch.setattr(memory, "MUCH_BYTES", 0)
    monkeypatch.setattr(groups, "BYTES", 1_000)

    assert (rows(), check(release.folder)) == expected
    with pq.ParquetFile(release.path("image")) as file:
        streamed = memory.needs(release.path("image"), file).streamed
    assert set(streamed) == ({"img", "file1", "file2"} if compression == "snappy" else set())


def test_a_batch_that_is_larger_than_estimated_comes_in_pieces() -> None:
    batch = pa.record_batch({"notes": ["x" * (groups.BYTES // 4)] * 8 + [""] * 8})

    pieces = list(memory.in_pieces(batch))

    assert [len(piece) for piece in pieces] == [2, 2, 2, 2, 8]
    assert pa.Table.from_batches(pieces).to_pylist() == batch.to_pylist()

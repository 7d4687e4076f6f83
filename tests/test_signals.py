"""Signals in the command line; the tests of each command check that it cleans up."""

import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel.cli import signals

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command leaves them to the end of its process."""
    before = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGALRM)}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_each_signal_interrupts(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), signals.handled():
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_disturb_cleaning_up(number: signal.Signals) -> None:
    cleaned = False

    def command() -> None:
        nonlocal cleaned
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
            cleaned = True

    with pytest.raises(KeyboardInterrupt), signals.handled():
        command()

    assert cleaned


def test_one_while_rows_are_fetched_leaves_nothing_in_the_log(
    loaded_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    statement = sa.text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    )

    def command() -> None:
        with (
            dm.open(loaded_file) as db,
            db.execute(statement, execution_options={"yield_per": 100_000}) as rows,
        ):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            for _ in rows.partitions():
                pass

    with pytest.raises(KeyboardInterrupt), signals.handled():
        command()

    assert caplog.messages == []


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with signals.handled():
        os.kill(os.getpid(), signal.SIGHUP)


def test_an_interrupt_that_python_ignores_in_a_callback_is_repeated() -> None:
    class Thing:
        pass

    thing = Thing()
    _reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))

    def collect() -> None:
        nonlocal thing
        del thing
        time.sleep(10)

    with pytest.raises(KeyboardInterrupt), signals.handled():
        collect()


def test_an_error_that_follows_from_an_interrupt_is_reported_as_one() -> None:
    def closes_its_database() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("Cannot operate on a closed database.") from None

    with pytest.raises(KeyboardInterrupt), signals.handled(), signals.reported():
        closes_its_database()


def test_other_errors_are_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), signals.handled(), signals.reported():
        1 / 0  # noqa: B018 - to raise

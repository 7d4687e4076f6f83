"""The command line: messages, options, streams and exit codes."""

import atexit
import csv
import errno
import functools
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import forking
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.cli import main, options
from dirtmodel.cli.command import Command
from dirtmodel.release import layout

PROGRAM = "from dirtmodel.cli import main; main(prog_name='dirtmodel')"
ROOT = Path(__file__).parent.parent

CANNOT_READ = "cannot read session.parquet of {qc}: "

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run the command line in this process; bugs keep their traceback."""

    def invoke(*args: object, **options: Any) -> Result:
        result = CliRunner().invoke(main, [str(arg) for arg in args], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture(scope="session")
def loaded(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "dirt.db"
    dm.load(release, path, label="3.0")
    return path


@functools.cache
def program() -> Path:
    """Return a program that runs the command line in a process forked off a prepared one."""
    path = Path(tempfile.mkdtemp()) / "dirtmodel"
    atexit.register(shutil.rmtree, path.parent)
    forking.write_program(path, PROGRAM)
    return path


def start(*args: object, **popen: Any) -> subprocess.Popen[str]:
    """Run the command line in a process of its own."""
    return subprocess.Popen([program(), *map(str, args)], cwd=ROOT, text=True, **popen)


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", inner) for sub, inner in command.commands.items())
        yield name, command


COMMANDS = list(commands())


class TestHelp:
    @pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
    def test_every_command_says_what_it_does_with_an_example(
        self, name: str, command: click.Command
    ) -> None:
        assert command.help
        assert re.search(rf"Example: dirtmodel {name}\b", command.help)

    @pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
    def test_every_option_says_what_it_is_for(self, name: str, command: click.Command) -> None:
        silent = [
            option.name
            for option in command.params
            if isinstance(option, click.Option)
            and not (option.help or isinstance(option.type, click.Choice))
        ]
        assert silent == [], name

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_goes_to_stdout(self, run: Run, flag: str) -> None:
        result = run(flag)
        assert (result.exit_code, result.stderr) == (0, "")
        assert [name for name in main.commands if name not in result.stdout] == []

    def test_commands_are_listed_in_the_order_of_their_use(self, run: Run) -> None:
        listed = re.findall(
            r"^  (\w+) ", run("--help").stdout.partition("Commands:")[2], re.MULTILINE
        )
        assert listed == list(main.commands)
        assert listed[:4] == ["demo", "load", "check", "info"]

    def test_fits_eighty_columns(self, run: Run) -> None:
        listed = run("--help", terminal_width=80).stdout.partition("Commands:")[2].splitlines()[1:]
        assert [line for line in listed if line.endswith("...")] == []
        assert len(listed) == len(main.commands)

    def test_prints_the_version(self, run: Run) -> None:
        assert run("--version").stdout == f"main {dm.__version__}\n"

    def test_is_shown_without_a_command(self, run: Run) -> None:
        result = run()
        assert (result.exit_code, result.stdout) == (2, "")
        assert "Usage:" in result.stderr


class TestStreams:
    def test_data_is_on_stdout_and_nothing_else(self, run: Run, loaded: Path) -> None:
        result = run("exclusions", "--kit", "--format", "csv", "--db", loaded)
        assert result.exit_code == 0
        assert result.stderr == ""
        assert next(csv.reader(io.StringIO(result.stdout))) == ["sub", "task", "run"]

    def test_messages_are_on_stderr_and_nothing_else(
        self, run: Run, release: Path, tmp_path: Path
    ) -> None:
        result = run("load", release, "--db", tmp_path / "dirt.db")
        assert (result.exit_code, result.stdout) == (0, "")
        assert re.search(
            r"^Loaded sample into \S+/dirt.db: \d+ session, \d+ image, \d+ rating, "
            r"\d+ coordinate rows\.$",
            result.stderr,
            re.MULTILINE,
        )
        assert "warning  no-rater" in result.stderr

    def test_quiet_is_quiet(self, run: Run, release: Path, tmp_path: Path) -> None:
        result = run("load", release, "--db", tmp_path / "dirt.db", "--quiet")
        assert (result.exit_code, result.output) == (0, "")
        assert (tmp_path / "dirt.db").exists()

    def test_every_command_with_messages_has_quiet(self) -> None:
        without = [
            name
            for name, command in main.commands.items()
            if not any("--quiet" in param.opts for param in command.params)
        ]

        assert without == ["info", "image"]

    @pytest.mark.parametrize("command", ["refresh", "upgrade"])
    def test_quiet_silences_what_was_done(self, run: Run, loaded: Path, command: str) -> None:
        if command == "refresh":
            loaded = shutil.copy(loaded, loaded.with_name("copy.db"))

        result = run(command, "--db", loaded, "-q")

        assert (result.exit_code, result.output) == (0, "")

    def test_errors_are_not_silenced_by_quiet(self, run: Run, tmp_path: Path) -> None:
        result = run("load", tmp_path, "--db", tmp_path / "dirt.db", "-q")
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")

    def test_a_file_gets_the_data_in_the_format_of_its_suffix(
        self, run: Run, loaded: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "coverage.tsv"
        result = run("coverage", "--db", loaded, "-o", path)
        assert (result.exit_code, result.output) == (0, "")
        assert path.read_text().startswith("step\tn_targets\t")

    @pytest.mark.parametrize(
        "command",
        [
            ["exclusions", "-o", "out.csv"],
            ["exclusions", "-o", "sidecar.tsv"],
            ["exclusions", "--format", "bids-filter", "-o", "out.csv"],
            ["coverage", "-o", "out.csv"],
            ["agreement", "--step", "mask", "-o", "out.csv"],
            ["consensus", "--step", "dtifit", "-o", "out.csv"],
            ["sql", "SELECT 1 AS a", "-o", "out.csv"],
            ["diff", "{db}", "{db}", "-o", "out.csv"],
            ["diff", "{db}", "{db}", "--html", "out.csv"],
            ["diff", "{db}", "{db}", "--migration", "0999_out.py"],
            ["check", "{db}", "--migration", "0999_out.py"],
        ],
        ids=lambda command: " ".join(command[:1] + command[-2:]),
    )
    def test_a_file_is_replaced_only_on_request(
        self,
        run: Run,
        loaded: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        command: list[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DIRTMODEL_DB", str(loaded))
        existing = command[-1].replace(".tsv", ".json")
        Path("theirs").write_text("theirs")
        Path(existing).symlink_to("theirs")
        args = [arg.replace("{db}", str(loaded)) for arg in command]

        refused = run(*args)

        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr == (
            f"Error: {existing} exists already; choose another path, or add --replace "
            "(in Python replace=True)\n"
        )
        assert run(*args, "--replace").exit_code in {0, 1}
        assert Path("theirs").read_text() == "theirs"

    @pytest.mark.parametrize("format_", ["table", "csv", "tsv", "json", "ndjson", "parquet"])
    @pytest.mark.parametrize("question", [["coverage", "--targets"], ["exclusions", "--kit"]])
    def test_every_question_in_every_format(
        self, run: Run, loaded: Path, question: list[str], format_: str
    ) -> None:
        result = run(*question, "--db", loaded, "--format", format_)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout_bytes

    def test_a_reader_that_stops_early_is_not_an_error(self, loaded: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        with start(
            "coverage", "--targets", "--db", loaded, stdout=write, stderr=subprocess.PIPE
        ) as process:
            os.close(write)
            assert process.stderr is not None
            assert (process.stderr.read(), process.wait()) == ("", 0)

    @pytest.mark.parametrize("command", ["coverage", "info"])
    def test_a_closed_stdout_is_not_an_error(self, loaded: Path, command: str) -> None:
        shell = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            [*shell, command, "--db", loaded],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("command", ["coverage", "info"])
    def test_a_full_disk_behind_stdout_is_reported(self, loaded: Path, command: str) -> None:
        with (
            Path("/dev/full").open("w") as full,
            start(command, "--db", loaded, stdout=full, stderr=subprocess.PIPE) as process,
        ):
            assert process.stderr is not None
            assert process.stderr.read() == (
                "Error: cannot write to stdout: No space left on device; "
                "write to a file with -o instead\n"
            )
            assert process.wait() == 2


def on_a_terminal(*args: object, stdout: bool = False, code: int = 0) -> str:
    """Return what a command writes to stderr, or to both streams, where they are a terminal."""
    ours, theirs = pty.openpty()
    with start(*args, stdout=theirs if stdout else subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # how a terminal reports that the other side is closed
            pass
        os.close(ours)
        assert process.wait() == code
    return shown.decode()


class TestTerminal:
    STATEMENT = "SELECT 'ü\x1b]0;x\x07\x9b2J\u202e' || char(13) AS \"a\x1b[31m\", 1 AS b"
    ESCAPED = r"ü\x1b]0;x\x07\x9b2J\u202e\r"

    @pytest.mark.parametrize("format_", ["table", "csv", "tsv", "ndjson"])
    def test_obeys_no_control_characters_of_the_data(self, loaded: Path, format_: str) -> None:
        shown = on_a_terminal(
            "sql", self.STATEMENT, "--db", loaded, "--format", format_, stdout=True
        )
        assert re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", shown) is None
        assert re.search(r"a\\(x1b|u001b)\[31m", shown)
        if format_ != "ndjson":
            assert self.ESCAPED in shown

    @pytest.mark.parametrize(
        ("name", "shown"),
        [(b"no\x1b[2J.db", r"no\x1b[2J.db"), (b"no\xff\x9b.db", r"no\xff\x9b.db")],
    )
    def test_shows_names_in_errors_escaped(self, name: bytes, shown: str) -> None:
        printed = on_a_terminal("info", "--db", os.fsdecode(name), code=2)
        assert f"there is no database at {shown}; make one" in printed

    def test_is_filled_with_the_columns_that_fit(
        self, loaded: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "40")
        *table, note = on_a_terminal("coverage", "--db", loaded, stdout=True).splitlines()
        assert max(map(len, table)) <= 40
        assert note == (
            "Not shown, because the terminal is too narrow: n_reviewed, n_unreviewed, n_reviews, "
            "n_raters. Choose with --columns, or write to a file with -o."
        )

    def test_does_not_change_what_files_and_pipes_get(self, run: Run, loaded: Path) -> None:
        shown = run("sql", self.STATEMENT, "--db", loaded, "--format", "csv").stdout_bytes
        assert "ü\x1b]0;x\x07\x9b2J\u202e\r".encode() in shown


class TestProgress:
    @pytest.mark.parametrize(("command", "label"), [("load", "Loading"), ("check", "Checking")])
    def test_is_shown_on_a_terminal(
        self, release: Path, tmp_path: Path, command: str, label: str
    ) -> None:
        place = ["--db", tmp_path / "dirt.db"] if command == "load" else []
        shown = on_a_terminal(command, release, *place)
        assert re.search(rf"{label}  \[#+\]  100%", shown)

    def test_is_not_shown_with_quiet(self, release: Path, tmp_path: Path) -> None:
        assert on_a_terminal("load", release, "--db", tmp_path / "dirt.db", "--quiet") == ""

    def test_is_not_shown_elsewhere(self, run: Run, release: Path, tmp_path: Path) -> None:
        assert "Loading" not in run("load", release, "--db", tmp_path / "dirt.db").stderr

    def test_has_no_rate_before_it_has_a_duration(self) -> None:
        from dirtmodel.cli.progress import _rate

        with click.progressbar(length=10, file=io.StringIO()) as bar:
            assert _rate(None) is None
            assert _rate(bar) is None
            bar.avg = [2e-8]
            assert _rate(bar) == "50 MB/s"


class TestExitCodes:
    def test_check_finds_errors(self, run: Run, copy_of_release: Callable[[], Path]) -> None:
        release = copy_of_release()
        next(release.rglob("rating.parquet")).unlink()
        result = run("check", release)
        assert result.exit_code == 1
        assert "missing-file" in result.stdout

    def test_check_finds_warnings_only(self, run: Run, release: Path) -> None:
        assert run("check", release).exit_code == 0

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["info", "--db", "no.db"], "Error: there is no database at no.db; make one with: "),
            (["coverage", "--db", "mysql://h/d"], "Error: mysql is not supported; use SQLite"),
            (["load", "nowhere"], "Error: "),
            (["check", "nowhere"], "Error: "),
            (["upgrade", "--db", "no.db"], "Error: there is no database at no.db"),
            (
                ["coverage", "--step", "100"],
                "Error: Invalid value for '--step': '100' is not a step; ",
            ),
            (["coverage", "--format", "xml"], "Error: Invalid value for '--format': 'xml' is not"),
            (["coverage", "--xyz"], "Error: No such option '--xyz'; see main coverage -h\n"),
            (["xyz"], "Error: No such command 'xyz'; see main -h\n"),
            (["covrage"], "Error: No such command 'covrage'. Did you mean 'coverage'? See main -h"),
            (["load"], "Error: Missing argument 'RELEASE'; see main load -h\n"),
            (["coverage", "-o", "."], "Error: Invalid value for '-o'"),
            (
                ["demo", "here", "there"],
                "Error: there is an argument too many; see main demo -h\n",
            ),
            (
                ["info", "postgresql://me:secret@host/qc"],
                "; a database is named with --db: main info --db URL\n",
            ),
        ],
    )
    def test_what_cannot_be_done_is_an_error(
        self,
        run: Run,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        args: list[str],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        result = run(*args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("args", "example"),
        [
            (["info"], "main info --db {db}"),
            (["browse"], "main browse --db {db}"),
            (["load", "release"], "main load RELEASE --db {db}"),
            (["exclusions", "--kit"], "main exclusions --db {db}"),
            (["export", "release"], "main export RELEASE --db {db}"),
        ],
    )
    def test_a_database_as_an_argument_is_answered_with_the_right_command(
        self, run: Run, loaded: Path, args: list[str], example: str
    ) -> None:
        result = run(*args, loaded)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "Error: there is an argument too many; a database is named with --db: "
            f"{example.format(db=loaded)}\n"
        )

    @pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
    def test_every_command_suggests_the_right_one(self, name: str, command: click.Command) -> None:
        assert isinstance(command, Command), name

    def test_an_error_is_one_line(self, run: Run, tmp_path: Path) -> None:
        assert run("info", "--db", tmp_path / "no.db").stderr.count("\n") == 1

    def test_a_bug_keeps_its_traceback(
        self, run: Run, loaded: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bug(*_args: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(dm.Coverage, "run", bug)
        with pytest.raises(ZeroDivisionError):
            run("coverage", "--db", loaded)

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (
                MemoryError(),
                CANNOT_READ
                + "there is too little memory; close other programs, or use a larger machine",
            ),
            (
                OSError(errno.EMFILE, "Too many open files"),
                CANNOT_READ + "too many files are open; allow more with: ulimit -n 1024",
            ),
            (
                RuntimeError("can't start new thread"),
                "no more threads can be started; close other programs, or raise ulimit -u",
            ),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_shortage_is_one_line(
        self,
        run: Run,
        release: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        message: str,
    ) -> None:
        def fail(*_args: object) -> None:
            raise error

        monkeypatch.setattr(layout.ReleaseFiles, "_open", fail)
        result = run("check", release)
        expected = message.format(qc=release / layout.QC_FOLDER)
        assert (result.exit_code, result.stderr) == (2, f"Error: {expected}\n")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_an_interrupt_exits_with_130(self, release: Path, tmp_path: Path, number: int) -> None:
        program = (
            "import sys, time\n"
            "from dirtmodel import loading\n"
            "record = loading._record\n"
            "def slow(*args):\n"
            "    record(*args); print('loading', flush=True); time.sleep(60)\n"
            "loading._record = slow\n" + PROGRAM
        )
        process = forking.Forked(program, "load", release, "--db", tmp_path / "dirt.db")
        assert process.out.readline() == "loading\n"
        process.send_signal(number)
        code, _, messages = process.finished()
        assert code == 130
        assert messages.strip() == "Interrupted."
        assert list(tmp_path.iterdir()) == []


class TestOptions:
    @pytest.mark.parametrize(
        "spelling",
        [
            "FMAP_COREGISTRATION",
            "fmap_coregistration",
            "fmap-coregistration",
            "Fmap-Coregistration",
            "3",
            " 3 ",
        ],
    )
    def test_steps_are_taken_in_any_spelling(self, run: Run, loaded: Path, spelling: str) -> None:
        result = run("coverage", "--step", spelling, "--format", "ndjson", "--db", loaded)
        assert [json.loads(line)["step"] for line in result.stdout.splitlines()] == [
            "FMAP_COREGISTRATION"
        ]

    def test_an_unknown_step_is_rejected_with_a_list_of_the_known_ones(self, run: Run) -> None:
        result = run("coverage", "--step", "fmap")
        assert (
            "'fmap' is not a step; choose one of mask (0), spatial_normalization (1), "
            "surface_localization (2), fmap_coregistration (3), dtifit (4)"
            in " ".join(result.stderr.split())
        )

    @pytest.mark.parametrize("command", ["coverage", "exclusions"])
    def test_a_step_that_the_database_lacks_is_an_error(
        self, run: Run, loaded: Path, command: str
    ) -> None:
        result = run(command, "--step", "5", "--db", loaded)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "Error: this database has no step step_5 (5); choose one of mask (0), "
            "spatial_normalization (1), surface_localization (2), fmap_coregistration (3), "
            "dtifit (4)\n"
        )

    def test_the_shell_completes_steps(self) -> None:
        context = click.Context(main)
        offered = options.STEP.shell_complete(context, click.Option(["--step"]), "S")
        assert [item.value for item in offered] == ["spatial_normalization", "surface_localization"]

    def test_the_database_is_that_of_the_option_else_the_environment_else_dirt_db(
        self, run: Run, loaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert "no database at dirt.db" in run("info").stderr
        monkeypatch.setenv("DIRTMODEL_DB", str(loaded))
        assert run("info").exit_code == 0
        assert "no database at other.db" in run("info", "--db", "other.db").stderr

    def test_parquet_is_not_written_to_a_terminal(self, loaded: Path) -> None:
        ours, theirs = pty.openpty()
        with start(
            *("coverage", "--format", "parquet", "--db", loaded),
            stdout=theirs,
            stderr=subprocess.PIPE,
        ) as process:
            os.close(theirs)
            assert process.stderr is not None
            assert "parquet cannot be printed on a terminal; add -o FILE" in process.stderr.read()
            assert process.wait() == 2
        os.close(ours)


class TestText:
    NOT_UTF8 = os.fsdecode(b"\xff")

    @pytest.mark.parametrize(
        "args",
        [
            ["load", "{release}", "--db", "new.db", "--label", NOT_UTF8],
            ["sql", f"SELECT '{NOT_UTF8}'"],
            ["sql", "SELECT :a", "-p", "a", NOT_UTF8],
            ["sheet", "--sub", NOT_UTF8, "-o", "sheet.png"],
            ["export", "release", "--sub", NOT_UTF8],
        ],
    )
    def test_that_is_not_utf8_is_refused(
        self,
        run: Run,
        release: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        args: list[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        result = run(*(arg.format(release=release) for arg in args))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "is not UTF-8 text; type it as UTF-8" in result.stderr
        assert result.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("args", [["load"], ["check"], ["diff", "{loaded}"]])
    def test_a_release_in_a_folder_that_is_not_utf8_is_refused(
        self, run: Run, release: Path, loaded: Path, tmp_path: Path, args: list[str]
    ) -> None:
        copy = tmp_path / f"copy{self.NOT_UTF8}"
        shutil.copytree(release, copy)
        result = run(*(arg.format(loaded=loaded) for arg in args), copy)
        assert (result.exit_code, result.stdout) == (2, "")
        assert re.fullmatch(
            r"Error: the path '.*' is not UTF-8 text; rename its folders\n", result.stderr
        )

    @pytest.mark.parametrize("command", ["export", "demo"])
    def test_no_release_is_written_to_such_a_folder(
        self, run: Run, loaded: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DIRTMODEL_DB", str(loaded))
        result = run(command, tmp_path / self.NOT_UTF8)
        assert (result.exit_code, result.stdout) == (2, "")
        assert re.fullmatch(r"Error: the path '.*' is not UTF-8 text.*\n", result.stderr)
        assert list(tmp_path.iterdir()) == []

    def test_a_database_and_an_output_may_have_any_name(
        self, run: Run, loaded: Path, tmp_path: Path
    ) -> None:
        db = tmp_path / f"{self.NOT_UTF8}.db"
        shutil.copy(loaded, db)
        output = tmp_path / f"{self.NOT_UTF8}.csv"
        assert run("coverage", "--db", db, "-o", output).exit_code == 0
        assert output.read_text().startswith("step,")

    @pytest.mark.parametrize("label", ["3.0\nloaded    yesterday", "3.0\x1b[31m", "3.0\u202e"])
    def test_a_label_that_cannot_be_printed_is_refused(
        self, run: Run, release: Path, tmp_path: Path, label: str
    ) -> None:
        result = run("load", release, "--db", tmp_path / "new.db", "--label", label)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            f"Error: the label {label!r} has characters that cannot be printed; choose another "
            "with --label\n"
        )
        assert list(tmp_path.iterdir()) == []


class TestColumns:
    @pytest.mark.parametrize(
        ("question", "format_"),
        [
            (["coverage"], "csv"),
            (["exclusions", "--status", "all"], "tsv"),
            (["exclusions", "--kit"], "table"),
            (["agreement", "--step", "3"], "csv"),
            (["agreement", "--step", "3", "--disagreements"], "csv"),
            (["consensus", "--step", "3"], "csv"),
            (["sql", "select * from step"], "csv"),
        ],
    )
    def test_are_printed_in_the_order_asked_for(
        self, run: Run, loaded: Path, question: list[str], format_: str
    ) -> None:
        whole = run(*question, "--format", "csv", "--db", loaded)
        first, second, *_ = whole.stdout.partition("\n")[0].split(",")

        result = run(
            *question, "--columns", f"{second}, {first}", "--format", format_, "--db", loaded
        )

        assert result.exit_code == 0
        assert re.split(r"[,\t]| +", result.stdout.splitlines()[0].strip()) == [second, first]

    def test_keep_their_types_in_parquet(self, run: Run, loaded: Path, tmp_path: Path) -> None:
        path = tmp_path / "coverage.parquet"
        run("coverage", "--columns", "n_reviews,step", "-o", path, "--db", loaded)
        table = pq.read_table(path)
        assert (table.column_names, table.schema.types) == (
            ["n_reviews", "step"],
            [pa.int64(), pa.string()],
        )

    def test_a_sidecar_describes_those_that_are_written(
        self, run: Run, loaded: Path, tmp_path: Path
    ) -> None:
        run("exclusions", "--columns", "sub,rule", "-o", tmp_path / "qc.tsv", "--db", loaded)
        assert list(json.loads((tmp_path / "qc.json").read_text())) == ["sub", "rule"]
        assert (tmp_path / "qc.tsv").read_text().startswith("sub\trule\n")

    def test_unknown_ones_are_refused_with_the_nearest(self, run: Run, loaded: Path) -> None:
        result = run("coverage", "--columns", "step,n_review", "--db", loaded)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "Error: there is no column 'n_review' (did you mean n_reviews?); --columns takes step, "
            "n_targets, n_images, n_reviewed, n_unreviewed, n_reviews, n_raters\n"
        )

    def test_of_the_same_name_are_refused(self, run: Run, loaded: Path) -> None:
        result = run("sql", "select 1 as a, 2 as a", "--columns", "a", "--db", loaded)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "Error: several columns are called a; rename them with AS\n"

    @pytest.mark.parametrize(
        "report",
        [
            ["agreement", "--step", "3"],
            ["agreement", "--step", "3", "--format", "json"],
            ["consensus", "--step", "3", "--format", "json"],
        ],
    )
    def test_are_refused_where_no_rows_are_printed(
        self, run: Run, loaded: Path, report: list[str]
    ) -> None:
        result = run(*report, "--columns", "name", "--db", loaded)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "Error: --columns is for rows; choose another --format, such as csv, or leave it out\n"
        )

    def test_are_an_option_of_every_command_that_prints_rows(self) -> None:
        lacking = [
            name
            for name, command in COMMANDS
            if any("parquet" in getattr(option.type, "choices", ()) for option in command.params)
            and not any(option.name == "columns" for option in command.params)
        ]
        assert lacking == []


class TestInfo:
    def test_describes_the_database(self, run: Run, loaded: Path) -> None:
        lines = dict(
            line.split(maxsplit=1) for line in run("info", "--db", loaded).stdout.splitlines()
        )
        assert list(lines) == ["database", "release", "loaded", "revision", "rows", "findings"]
        assert lines["database"].startswith(f"{loaded}, ")
        assert lines["release"].startswith("3.0 from /")
        assert lines["loaded"].endswith(f"UTC by dirtmodel {dm.__version__}")
        assert lines["revision"] == database.known_revisions()[-1]
        assert re.search(r"[1-9]\d* image", lines["rows"])
        assert "no-rater" in lines["findings"]

    def test_is_available_as_json(
        self, run: Run, loaded: Path, published: dict[str, list[object]]
    ) -> None:
        found = json.loads(run("info", "--db", loaded, "--format", "json").stdout)
        assert found["rows"] == {table: len(published[table]) for table in published} | {
            "quarantine": 0
        }
        assert found["release"]["label"] == "3.0"
        assert found["size"] == loaded.stat().st_size
        assert found["findings"]["empty-rows"] == 12

    def test_counts_rows_in_quarantine_without_an_id_too(
        self, run: Run, release: Path, tmp_path: Path
    ) -> None:
        dm.load(release, tmp_path / "dirt.db")
        with dm.open(tmp_path / "dirt.db", read_only=False) as db:
            from dirtmodel.models import Quarantine

            db.add(Quarantine(table="rating", file_row=1, code="null-id", reason="", row={}))
            db.commit()
        found = json.loads(run("info", "--db", tmp_path / "dirt.db", "--format", "json").stdout)
        assert found["rows"]["quarantine"] == 1

    def test_describes_a_database_without_a_recorded_release(
        self, run: Run, tmp_path: Path
    ) -> None:
        path = tmp_path / "dirt.db"
        with database.engine(database.parse_url(path)).begin() as connection:
            database.migrate(connection, "0002")
        assert run("upgrade", "--db", path).stderr == (
            f"Upgraded {path} from revision 0002 to {database.known_revisions()[-1]}.\n"
        )
        result = run("info", "--db", path)
        assert result.exit_code == 0
        assert "release   not recorded\n" in result.stdout
        assert json.loads(run("info", "--db", path, "--format", "json").stdout)["release"] == {}

    def test_never_shows_a_password(self, run: Run, postgres_server: str, release: Path) -> None:
        url = postgres_server.replace("postgres:@", "postgres:s3cret@")
        url += "&options=-csearch_path%3Dcli_test"
        assert run("load", release, "--db", url).exit_code == 0
        for command in ("info", "upgrade", "coverage"):
            result = run(command, "--db", url)
            assert result.exit_code == 0
            assert "s3cret" not in result.output
        assert "postgresql://postgres:***@/postgres" in run("info", "--db", url).stdout


class TestCheck:
    def test_is_available_as_json(self, run: Run, release: Path) -> None:
        found = json.loads(run("check", release, "--format", "json").stdout)
        assert {tuple(finding) for finding in found} == {
            ("code", "severity", "file", "message", "n", "examples")
        }
        assert {finding["severity"] for finding in found} == {"warning"}
        assert all(len(finding["examples"]) <= 5 for finding in found)

    @pytest.mark.parametrize("n", [0, 1, 7])
    def test_shows_as_many_examples_as_asked_for(self, run: Run, release: Path, n: int) -> None:
        result = run("check", release, "--examples", n, "--format", "json")
        assert max(len(finding["examples"]) for finding in json.loads(result.stdout)) == n

    def test_ends_with_the_total(self, run: Run, release: Path) -> None:
        found = json.loads(run("check", release, "--format", "json").stdout)
        n = sum(finding["n"] for finding in found)
        last = run("check", release).stdout.splitlines()[-1]
        assert last == f"0 errors and {n} warnings."

    def test_finds_nothing_in_a_sound_release(self, run: Run, tmp_path: Path) -> None:
        release = sample.write_release(
            tmp_path, style="pandas", hazards=False, subjects=1, slices=1, pictures="tiny"
        )
        result = run("check", release)
        assert (result.exit_code, result.stdout) == (0, "0 errors and 0 warnings.\n")


class TestUpgrade:
    def test_changes_nothing_in_a_current_database(self, run: Run, loaded: Path) -> None:
        result = run("upgrade", "--db", loaded)
        head = database.known_revisions()[-1]
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == f"{loaded} is already at revision {head}.\n"


def make_small_demo(folder: Path) -> Result:
    small = functools.partial(sample.write_release, picture_size=(96, 72), frames=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "write_release", small)
        return CliRunner().invoke(main, ["demo", str(folder)])


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder of a demo with small pictures, and what the command printed."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    return folder, make_small_demo(folder)


class TestDemo:
    def test_makes_loads_and_answers(self, small_demo: tuple[Path, Result]) -> None:
        folder, result = small_demo
        assert result.exit_code == 0
        assert "FMAP_COREGISTRATION" in result.stdout
        assert re.search(r"^\s*sub\s+task\s+run$", result.stdout, re.MULTILINE)
        assert f"export DIRTMODEL_DB={folder}/dirt.db" in result.stderr
        for name in ("annotated.png", "failures.png", "clicks.png"):
            assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert (folder / "report.html").read_text().startswith("<!doctype html>")

    @pytest.mark.parametrize("name", ["dirt.db", "release/image.parquet"])
    def test_leaves_other_files_alone(
        self, run: Run, loaded: Path, tmp_path: Path, name: str
    ) -> None:
        theirs = tmp_path / "qc" / name
        theirs.parent.mkdir(parents=True)
        shutil.copy(loaded, theirs)
        result = run("demo", tmp_path / "qc")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            f"Error: {tmp_path}/qc contains files that are not a finished demo and could be "
            "overwritten; empty it, or name another folder: dirtmodel demo FOLDER\n"
        )
        assert theirs.read_bytes() == loaded.read_bytes()
        assert list((tmp_path / "qc").iterdir()) == [tmp_path / "qc" / name.partition("/")[0]]

    def test_needs_a_folder(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.touch()
        for folder in (file, file / "folder"):
            result = run("demo", folder)
            message = f"cannot make a demo in {folder}: Not a directory; name another folder"
            assert (result.exit_code, result.stderr) == (2, f"Error: {message}\n")

    def test_can_be_run_again(self, small_demo: tuple[Path, Result]) -> None:
        folder, first = small_demo
        second = make_small_demo(folder)
        assert (second.exit_code, second.stdout) == (0, first.stdout)


def test_python_runs_it_where_the_program_is_on_no_path() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dirtmodel", "load", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Usage: dirtmodel load ")


class TestStartUp:
    """Commands import only the packages that they need."""

    def imported(self, *args: object) -> set[str]:
        program = (
            "import sys\n"
            "from dirtmodel.cli import main\n"
            "try:\n"
            "    main()\n"
            "finally:\n"
            "    tops = {name.partition('.')[0] for name in sys.modules}\n"
            "    print('\\n' + ' '.join(sorted(tops)))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, args)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.splitlines()[-1].split())

    @pytest.mark.parametrize("args", [["--help"], ["--version"], ["load", "--help"]])
    def test_help_imports_no_heavy_package(self, args: list[str]) -> None:
        heavy = {"sqlalchemy", "pyarrow", "numpy", "scipy", "alembic", "PIL", "psycopg"}
        assert self.imported(*args) & heavy == set()

    @pytest.mark.parametrize(
        "args", [["coverage"], ["exclusions", "--kit", "--format", "csv"], ["info"]]
    )
    def test_a_query_imports_only_sqlalchemy(self, loaded: Path, args: list[str]) -> None:
        heavy = {"pyarrow", "numpy", "scipy", "alembic", "PIL", "psycopg"}
        assert self.imported(*args, "--db", loaded) & heavy == set()

    def test_a_load_does_not_import_optional_packages_of_pyarrow(
        self, release: Path, tmp_path: Path
    ) -> None:
        imported = self.imported("load", release, "--db", tmp_path / "dirt.db")
        assert "pyarrow" in imported
        assert "pandas" not in imported

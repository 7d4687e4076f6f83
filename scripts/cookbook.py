"""Run the blocks of the cookbook and write their output below them."""

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dirtmodel as dm
from dirtmodel import outputs
from dirtmodel.sql import ask

BLOCK = re.compile(
    r"^```(?P<language>sql|python)\n(?P<code>.*?)^```\n(?:\n```text\n.*?^```\n)?",
    re.DOTALL | re.MULTILINE,
)


def filled(page: str, db: Path) -> str:
    """Return the page with the current output of every block below it."""
    with participants(db), dm.open(db) as session:
        names: dict[str, Any] = {}
        Path("dirt.db").symlink_to(db)

        def with_output(block: re.Match[str]) -> str:
            if block["language"] == "sql":
                output = answer(block["code"], db)
            else:
                names["db"] = session
                output = printed(block["code"], names)
            code = f"```{block['language']}\n{block['code']}```\n"
            return code + (f"\n```text\n{output}```\n" if output else "")

        return BLOCK.sub(with_output, page)


def answer(statement: str, db: Path) -> str:
    """Run SQL and return its rows as the command line prints them."""
    file = io.BytesIO()
    with ask(db, statement) as found:
        outputs.write(found.columns, found.rows, "table", file)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().decode().splitlines())


def printed(code: str, names: dict[str, Any]) -> str:
    """Run Python and return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exec(compile(code, "cookbook.md", "exec"), names)  # noqa: S102 - the page's own examples
    return stdout.getvalue()


@contextlib.contextmanager
def participants(db: Path) -> Iterator[None]:
    """Change to a temporary folder with a participants.tsv."""
    with dm.open(db) as session:
        rows = session.execute(
            dm.Target.__table__.select().with_only_columns(dm.Target.sub).distinct()
        )
        subs = sorted(sub for (sub,) in rows if sub)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"sub-{sub}\t{40 + n}\t{'FM'[n % 2]}\n" for n, sub in enumerate(subs)]
        Path(folder, "participants.tsv").write_text("participant_id\tage\tsex\n" + "".join(lines))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    from dirtmodel import sample

    path = Path(__file__).parent.parent / "docs" / "cookbook.md"
    with tempfile.TemporaryDirectory() as demo:
        sample.write_release(Path(demo, "release"))
        dm.load(Path(demo, "release"), Path(demo, "dirt.db"), label="demo")
        path.write_text(filled(path.read_text("utf-8"), Path(demo, "dirt.db")), "utf-8")
    print("Wrote docs/cookbook.md")

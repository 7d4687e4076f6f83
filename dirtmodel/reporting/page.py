"""The report: one page that shows the quality control of a release."""

import shlex
from pathlib import Path
from typing import Final

from dirtmodel import outputs, pages
from dirtmodel.errors import UsageError
from dirtmodel.opening import Database, session_on
from dirtmodel.pseudonyms import Choice, use_pseudonyms
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.reporting.collect import Options, collect

MOST_PICTURES: Final = 150
MOST_MEGABYTES: Final = 15


def report(
    db: Database,
    path: Path | str,
    *,
    rule: Exclusions | None = None,
    title: str | None = None,
    pseudonyms: Choice = False,
    pictures: int = MOST_PICTURES,
    megabytes: int = MOST_MEGABYTES,
    replace: bool = False,
) -> None:
    """Write one HTML page that shows the quality control of a release.

    The page refers to nothing outside itself and needs no script.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    path
        The file to write.
    rule
        The exclusion rule, by default `Exclusions()`. Its steps are those of the whole page.
    title
        The heading.
    pseudonyms
        True, or a key: raters are numbered and notes are omitted; see `use_pseudonyms`.
    pictures
        Largest number of pictures of excluded scans. The page states what it leaves out.
    megabytes
        Largest size of the page in MB; it has fewer pictures if need be.
    replace
        Whether an existing file is replaced.

    Raises
    ------
    UsageError
        If the database has no such step, if the rule has other conditions than steps, or if a
        limit is too small.
    OutputError
        If the file exists, or cannot be written; it is complete or not there.
    DatabaseError
        If the database cannot be opened.

    Examples
    --------
    >>> report("dirt.db", "report.html", pseudonyms=True)  # doctest: +SKIP
    """
    if pictures < 0 or megabytes < 1:
        raise UsageError("a report has 0 or more pictures and 1 or more megabytes")
    rule = rule or Exclusions()
    if rule.conditions(steps=False):
        further = rule.options(name for name in rule.targets() if name != "step")
        raise UsageError(f"a report is about whole steps; leave out {', '.join(further)}")
    options = Options(
        rule=rule,
        title=title,
        command=_command(rule, title, pseudonyms, pictures, megabytes),
        pictures=pictures,
        most_bytes=megabytes * 1_000_000,
    )
    with session_on(db) as session:
        outputs.refuse_existing([Path(path)], replace=replace)
        if pseudonyms is not False:
            use_pseudonyms(session, pseudonyms)
        page = collect(session, options)
        with outputs.destination(Path(path), replace=replace) as file:
            pages.write("report.html", file, page=page)


def _command(
    rule: Exclusions, title: str | None, pseudonyms: Choice, pictures: int, megabytes: int
) -> str:
    """Return the options that write the same page again."""
    options = [rule.rule_text]
    options += ["--title " + shlex.quote(title)] if title else []
    options += ["--pseudonyms"] if pseudonyms is True else []
    options += ["--pseudonyms-key FILE"] if isinstance(pseudonyms, bytes) else []
    options += [f"--pictures {pictures}"] if pictures != MOST_PICTURES else []
    options += [f"--megabytes {megabytes}"] if megabytes != MOST_MEGABYTES else []
    return " ".join([*options, "-o report.html"])

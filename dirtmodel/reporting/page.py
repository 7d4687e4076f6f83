"""The report: one HTML page that shows the quality control of a release."""

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

    The page is a single file without links to other files and without scripts.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    path
        The file to write.
    rule
        The exclusion rule, by default `Exclusions()`. The whole page is about the steps of this
        rule.
    title
        The heading; by default it has the label of the release.
    pseudonyms
        True or a key: raters get pseudonyms and notes are omitted; see `use_pseudonyms`.
    pictures
        The most pictures of excluded scans. The page states how many scans it leaves out.
    megabytes
        The largest size of the page in MB; the number of pictures is reduced if necessary.
    replace
        If true, replace an existing file.

    Raises
    ------
    UsageError
        If the database does not have a step of the rule, if the rule has conditions other than
        steps, or if a limit is too small.
    OutputError
        If the file exists or cannot be written. An incomplete file is never left behind.
    DatabaseError
        If the database cannot be opened.

    Examples
    --------
    >>> report("dirt.db", "report.html", pseudonyms=True)  # doctest: +SKIP
    """
    if pictures < 0 or megabytes < 1:
        raise UsageError("a report needs 0 or more pictures and 1 or more megabytes")
    rule = rule or Exclusions()
    if rule.conditions(steps=False):
        others = rule.options(name for name in rule.targets() if name != "step")
        raise UsageError(f"a report is about whole steps; leave out {', '.join(others)}")
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
    """Return the options that write the same page."""
    options = [rule.rule_text]
    options += ["--title " + shlex.quote(title)] if title else []
    options += ["--pseudonyms"] if pseudonyms is True else []
    options += ["--pseudonyms-key FILE"] if isinstance(pseudonyms, bytes) else []
    options += [f"--pictures {pictures}"] if pictures != MOST_PICTURES else []
    options += [f"--megabytes {megabytes}"] if megabytes != MOST_MEGABYTES else []
    return " ".join([*options, "-o report.html"])

"""Pseudonyms of raters, such as `rater-01`, for results that leave the project.

The raters of a database are numbered in the order of a keyed hash of their names. The numbers do
not reveal the names or their alphabetical order, and with the same key they are the same in every
result. Notes are left out, because they can contain names.
"""

import hashlib
import hmac
from typing import Final

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.errors import DatabaseError, UsageError
from dirtmodel.models import ReleaseFile, Session

Choice = bool | bytes
"""True: pseudonyms with a key derived from the release; bytes: with this key; False: user names."""

_INFO: Final = "dirtmodel.pseudonyms"


def use_pseudonyms(session: orm.Session, key: Choice = True) -> None:
    """Let the queries of a session return pseudonyms instead of user names, and no notes.

    This affects the results of queries, pictures and reports. ORM instances and SQL statements
    still return the stored values.

    Parameters
    ----------
    session
        An open database.
    key
        True: a key derived from the SHA-256 of the release's files; everyone who has the release
        can repeat the numbering. Bytes: a secret key. False: user names again.

    Raises
    ------
    UsageError
        If the key is empty, or if it cannot be derived because the release was loaded from a
        database of DIRT and therefore has no files.
    """
    if key is False:
        session.info.pop(_INFO, None)
    else:
        session.info[_INFO] = numbering(session.connection(), key)


def numbering(connection: sa.Connection, key: Choice = True) -> dict[str, str]:
    """Return the pseudonym of each rater of the database; see `use_pseudonyms`."""
    secret = _key_from_files(connection) if isinstance(key, bool) else key
    if not secret:
        raise UsageError("the key of the pseudonyms is empty; use a file with a long random text")
    names = connection.scalars(sa.select(Session.user).where(Session.user.is_not(None)).distinct())
    in_order = sorted(
        (name for name in names if name is not None),
        key=lambda name: hmac.digest(secret, name.encode(), hashlib.sha256),
    )
    width = max(2, len(str(len(in_order))))
    return {name: f"rater-{n:0{width}}" for n, name in enumerate(in_order, 1)}


def are_used(session: orm.Session) -> bool:
    """Return True if the queries of this session return pseudonyms."""
    return _INFO in session.info


def rater(session: orm.Session, name: str | None) -> str | None:
    """Return a rater's user name or pseudonym for a result; an unknown rater stays None.

    Raises
    ------
    DatabaseError
        If another program added the rater after the pseudonyms were numbered.
    """
    if name is None or not are_used(session):
        return name
    try:
        return session.info[_INFO][name]  # type: ignore[no-any-return]  # see `use_pseudonyms`
    except KeyError:
        raise DatabaseError(
            "another program added a rater to the database after the pseudonyms were chosen; run "
            "the command again"
        ) from None


def _key_from_files(connection: sa.Connection) -> bytes:
    rows = connection.execute(sa.select(ReleaseFile.name, ReleaseFile.sha256)).all()
    if not rows:
        raise UsageError(
            "the database does not record the files of a release, from which the key of the "
            "pseudonyms is derived; name a file with a key: --pseudonyms-key FILE"
        )
    # Sorted in Python, because the two engines order text differently.
    return "\n".join(sorted(f"{row.name} {row.sha256}" for row in rows)).encode()

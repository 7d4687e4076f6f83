"""Pseudonyms of raters: in results that leave the project, `rater-01` instead of a user name.

All raters of a database are numbered in the order of a keyed hash of their names, so that the
numbers reveal neither names nor their alphabetical order, and are the same in every result of the
database with the same key. Notes are left out, because they can contain names.
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
    """Have the queries of a session return pseudonyms instead of raters, and no notes.

    This concerns the results of queries, pictures and reports. Instances of the ORM classes and SQL
    still contain what is stored.

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
        The key is empty; or it should be derived, and the database does not record the files of its
        release, which is so when it was loaded from a database of DIRT.
    """
    if key is False:
        session.info.pop(_INFO, None)
    else:
        session.info[_INFO] = numbering(session.connection(), key)


def numbering(connection: sa.Connection, key: Choice = True) -> dict[str, str]:
    """Return the pseudonym of each rater of the database; see `use_pseudonyms`."""
    secret = _derived(connection) if isinstance(key, bool) else key
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
    """Return true if the queries of this session return pseudonyms."""
    return _INFO in session.info


def rater(session: orm.Session, name: str | None) -> str | None:
    """Return a rater as results show it; None, an unknown rater, stays None.

    Raises
    ------
    DatabaseError
        Another program added the rater after the pseudonyms were numbered.
    """
    if name is None or not are_used(session):
        return name
    try:
        return session.info[_INFO][name]  # type: ignore[no-any-return]  # see `use_pseudonyms`
    except KeyError:
        raise DatabaseError("a rater was added to the database meanwhile; run it again") from None


def _derived(connection: sa.Connection) -> bytes:
    rows = connection.execute(sa.select(ReleaseFile.name, ReleaseFile.sha256)).all()
    if not rows:
        raise UsageError(
            "the database does not record the files of a release, from which the key of the "
            "pseudonyms is derived; name a file with a key: --pseudonyms-key FILE"
        )
    # Sorted here, because the order of text depends on the engine.
    return "\n".join(sorted(f"{row.name} {row.sha256}" for row in rows)).encode()

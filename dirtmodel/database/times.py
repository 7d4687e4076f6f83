"""Finding rows with an invalid time, which another program wrote."""

import sqlalchemy as sa

from dirtmodel.database.fragments import quote
from dirtmodel.database.urls import display
from dirtmodel.errors import DatabaseError
from dirtmodel.models import MIRRORED
from dirtmodel.models.types import instant


def invalid_time(engine: sa.Engine) -> DatabaseError | None:
    """Describe the first row of DIRT's tables with an invalid time; None if there is none."""
    check = instant("created", engine.dialect.name)
    with engine.connect() as connection:
        for table in MIRRORED:
            if not sa.inspect(connection).has_table(table):
                continue
            row = connection.exec_driver_sql(
                f"SELECT id, CAST(created AS text) FROM {quote(table)} "
                f"WHERE NOT ({check}) ORDER BY id LIMIT 1"
            ).first()
            if row is not None:
                return DatabaseError(
                    f"{display(engine.url)}: {table} row {row[0]}: created is {row[1]!r}, "
                    "which is not a time between the years 1 and 9999; correct it with the program "
                    "that wrote it, then run: dirtmodel refresh"
                )
    return None

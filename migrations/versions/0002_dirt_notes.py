"""Notes on verdicts and clicks, as in DIRT's own migration 0002

DIRT stores missing notes as ''. The release publishes them as NULL, which is kept.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("rating", "coordinate")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("notes", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "notes")

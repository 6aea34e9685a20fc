"""Whether an answer of the chat helped its reader.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("messages") as table:
        table.add_column(sa.Column("rating", sa.Integer(), nullable=False, server_default="0"))
    # For the rows there were; the app gives it from here on.
    with op.batch_alter_table("messages") as table:
        table.alter_column("rating", existing_type=sa.Integer(), existing_nullable=False, server_default=None)

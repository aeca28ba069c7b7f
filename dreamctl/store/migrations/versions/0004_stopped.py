"""Sweeps that were told to stop."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("sweep", sa.Column("stopped", sa.Boolean, nullable=False, server_default=sa.false()))

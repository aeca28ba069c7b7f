"""The checkpoint that a fork goes on from."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("run", sa.Column("parent", sa.JSON(none_as_null=True)))

"""Processes are known by boot, PID namespace and clock ticks; rows of before, by their sign of life alone.

`process_started` and `scheduler_started` held seconds of the wall clock until here. The columns stay, so that workers
of the older version that are at work go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("run", sa.Column("process_space", sa.String(100)))

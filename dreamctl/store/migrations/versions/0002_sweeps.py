"""Sweeps: a queue of runs that schedulers share."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "sweep",
        sa.Column("id", sa.String(8), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("mlflow_run", sa.String(64)),
    )
    op.create_table(
        "sweep_run",
        sa.Column("sweep_id", sa.String(8), sa.ForeignKey("sweep.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("run_id", sa.String(8), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True, index=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.add_column("run", sa.Column("deaths", sa.Integer, nullable=False, server_default="0"))
    op.add_column("run", sa.Column("log_tail", sa.Text))
    op.add_column("run", sa.Column("scheduler_pid", sa.Integer))
    op.add_column("run", sa.Column("scheduler_started", sa.Float(53)))

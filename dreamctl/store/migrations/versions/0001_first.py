"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _run_id(**options: Any) -> sa.Column[str]:
    return sa.Column("run_id", sa.String(8), sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False, **options)


def upgrade() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.String(8), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("task", sa.String(100), nullable=False, index=True),
        sa.Column("method", sa.String(50), nullable=False),
        sa.Column("objective", sa.String(50), nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("preset", sa.String(50), nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, index=True),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("status", sa.String(10), nullable=False, index=True),
        sa.Column("reason", sa.Text),
        sa.Column("stop_requested", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("env_steps", sa.Integer, nullable=False),
        sa.Column("updates", sa.Integer, nullable=False),
        sa.Column("score", sa.Float(53)),
        sa.Column("best_score", sa.Float(53)),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("started_at", sa.Float(53)),
        sa.Column("finished_at", sa.Float(53)),
        sa.Column("heartbeat_at", sa.Float(53)),
        sa.Column("device", sa.String(50)),
        sa.Column("host", sa.String(200)),
        sa.Column("pid", sa.Integer),
        sa.Column("process_started", sa.Float(53)),
        sa.Column("git_commit", sa.String(40)),
        sa.Column("git_branch", sa.String(200)),
        sa.Column("git_dirty", sa.Boolean),
        sa.Column("git_diff", sa.Text),
        sa.Column("packages", sa.JSON, nullable=False),
    )
    op.create_table(
        "scalar",
        _run_id(primary_key=True),
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("wall_time", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer, primary_key=True),
        _run_id(index=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("env_steps", sa.Integer, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("returns", sa.JSON, nullable=False),
        sa.Column("mean", sa.Float(53), nullable=False),
        sa.Column("std", sa.Float(53), nullable=False),
        sa.Column("checkpoint", sa.String(200)),
        sa.Column("video", sa.String(200)),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "checkpoint",
        _run_id(primary_key=True),
        sa.Column("path", sa.String(200), primary_key=True),
        sa.Column("env_steps", sa.Integer, nullable=False),
        sa.Column("updates", sa.Integer, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "artifact",
        _run_id(primary_key=True),
        sa.Column("path", sa.String(200), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "mirrored",
        _run_id(primary_key=True),
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )

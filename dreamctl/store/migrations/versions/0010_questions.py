"""Questions of sweeps, their looks; what trained each attempt of a run; runs that their method has ruined.

Runs of before whose losses were not finite are recognised by the reason that they failed for. What trained them is not
known: only a commit and package versions at the time they were created.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_DIVERGED = """
UPDATE run SET diverged = (1 = 1)
WHERE status = 'failed' AND reason LIKE 'FloatingPointError: % after % updates, % env steps%'
"""


def upgrade() -> None:
    op.add_column("run", sa.Column("code", sa.String(200)))
    op.add_column("run", sa.Column("hardware", sa.String(100)))
    op.add_column("run", sa.Column("diverged", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(_DIVERGED)
    op.create_table(
        "attempt",
        sa.Column("run_id", sa.String(8), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("started_at", sa.Float(53), nullable=False),
        sa.Column("env_steps", sa.Integer, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("device", sa.String(50)),
        sa.Column("hardware", sa.String(100)),
        sa.Column("host", sa.String(200)),
        sa.Column("job", sa.String(200)),
        sa.Column("git_commit", sa.String(40)),
        sa.Column("git_branch", sa.String(200)),
        sa.Column("git_dirty", sa.Boolean),
        sa.Column("git_diff", sa.Text),
        sa.Column("packages", sa.JSON, nullable=False),
    )
    op.create_table(
        "registration",
        sa.Column("sweep_id", sa.String(8), sa.ForeignKey("sweep.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("git_commit", sa.String(40)),
        sa.Column("git_dirty", sa.Boolean),
    )
    op.create_table(
        "look",
        sa.Column("sweep_id", sa.String(8), sa.ForeignKey("sweep.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("seeds", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("judged_at", sa.Float(53), nullable=False),
        sa.Column("answers", sa.JSON, nullable=False),
    )

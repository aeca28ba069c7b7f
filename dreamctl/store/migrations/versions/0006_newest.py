"""The newest runs, of all, of a status or of a task, are read off an index."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("ix_run_created", "run", ["created_at", "id"], if_not_exists=True)
    for column in ("status", "task"):
        op.drop_index(f"ix_run_{column}", "run", if_exists=True)
        op.create_index(f"ix_run_{column}", "run", [column, "created_at", "id"])

"""Seconds at work, the sum over a run's attempts.

Runs of before: of one attempt, from its start to its last sign of life; of several, from the metric that is recorded
with each episode (the time between two points or, across a pause, what the rate makes of their steps).
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ONE = """
UPDATE run SET work_seconds = coalesce(heartbeat_at, finished_at) - started_at
WHERE coalesce(heartbeat_at, finished_at) > started_at
"""
_SEVERAL = """
UPDATE run SET work_seconds = (
    SELECT coalesce(sum(CASE WHEN passed > 0 AND passed <= 3 * expected THEN passed ELSE expected END), 0) FROM (
        SELECT wall_time - lag(wall_time) OVER (ORDER BY step) AS passed,
               (step - lag(step, 1, 0) OVER (ORDER BY step)) / value AS expected
        FROM scalar WHERE scalar.run_id = run.id AND name = 'time/env_steps_per_second' AND value > 0
    ) AS points
) WHERE attempt > 1
"""


def upgrade() -> None:
    op.add_column("run", sa.Column("work_seconds", sa.Float(53), nullable=False, server_default="0"))
    op.execute(_ONE)
    op.execute(_SEVERAL)

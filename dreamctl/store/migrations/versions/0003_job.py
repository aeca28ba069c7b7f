"""The engine's job that a run is trained in; digests that fields at their defaults do not enter."""

import sqlalchemy as sa
from alembic import op

from dreamctl.store.identity import digest

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("run", sa.Column("job", sa.String(200)))
    columns = [sa.column("id"), sa.column("task"), sa.column("seed"), sa.column("config", sa.JSON)]
    run = sa.table("run", *columns, sa.column("digest"))
    connection = op.get_bind()
    for id, task, seed, config in connection.execute(sa.select(*columns)).all():
        if not isinstance(config, dict):  # damaged: whoever reads it is told
            continue
        renewed = sa.update(run).where(run.c.id == id).values(digest=digest(task, seed, config))
        connection.execute(renewed)

"""Questions of sweeps as they were registered, and the looks at which they were judged. Both only ever grow."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dreamctl.store import provenance
from dreamctl.store.access import Access
from dreamctl.store.models import Evaluation, Look, Registration, Run
from dreamctl.store.queries import MANY


class Registrations(Access):
    """The part of the store that deals in them."""

    def register(
        self, sweep_id: str, content: Mapping[str, Any], digests: Sequence[str], code: str, least: int = 0
    ) -> Registration:
        """The registration of this content, a new version unless the latest one says the same.

        digests: of the runs that the content is about; those that have been evaluated by now are counted, as `least` or
        as many as the latest version counted if they are fewer. code: digest of what is to train them (`store.code`).
        Two processes that register at once need `alone`.
        """
        versions = self.registrations(sweep_id)
        if versions and _same(versions[-1].content, content):
            return versions[-1]
        origin = provenance.collect()
        row = Registration(
            sweep_id=sweep_id,
            version=versions[-1].version + 1 if versions else 1,
            content=dict(content),
            created_at=time.time(),
            runs=max(least, self._evaluated(list(dict.fromkeys(digests))), *(one.runs for one in versions[-1:])),
            code=code,
            git_commit=origin.get("git_commit"),
            git_dirty=origin.get("git_dirty"),
        )
        with self._write() as session:
            session.add(row)
        return row

    def registrations(self, sweep_id: str) -> list[Registration]:
        """The versions of a sweep's questions, oldest first."""
        statement = select(Registration).where(Registration.sweep_id == sweep_id).order_by(Registration.version)
        with Session(self._engine) as session:
            return list(session.scalars(statement))

    def record_look(
        self, sweep_id: str, number: int, *, seeds: int, version: int, answers: Sequence[Mapping[str, Any]]
    ) -> Look:
        """Keep a look, unless it has been kept already; returns the one that is kept."""
        row = dict(sweep_id=sweep_id, number=number, seeds=seeds, version=version, judged_at=time.time())
        insert = self._insert(Look).values(row | {"answers": [dict(answer) for answer in answers]})
        with self._write() as session:
            session.execute(insert.on_conflict_do_nothing(index_elements=["sweep_id", "number"]))
        return next(look for look in self.looks(sweep_id) if look.number == number)

    def looks(self, sweep_id: str) -> list[Look]:
        """The looks at a sweep, in order."""
        statement = select(Look).where(Look.sweep_id == sweep_id).order_by(Look.number)
        with Session(self._engine) as session:
            return list(session.scalars(statement))

    def _evaluated(self, digests: Sequence[str]) -> int:
        """How many runs of these digests have been evaluated in training."""
        found = 0
        with self._engine.connect() as connection:
            for first in range(0, len(digests), MANY):
                statement = (
                    select(func.count(Run.id.distinct()))
                    .join(Evaluation, Evaluation.run_id == Run.id)
                    .where(Run.digest.in_(digests[first : first + MANY]), Evaluation.kind != "manual")
                )
                found += connection.execute(statement).scalar_one()
        return found


def _same(stored: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    """Whether the two are the same as JSON, in which a tuple is a list."""
    return json.dumps(stored, sort_keys=True) == json.dumps(content, sort_keys=True)

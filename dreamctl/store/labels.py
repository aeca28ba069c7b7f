"""Names, tags and notes of runs. None of them affects what a run does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import select, update

from dreamctl.errors import BadInput
from dreamctl.store.access import Access
from dreamctl.store.models import Run


class Labels(Access):
    """The part of the store that deals in them."""

    def rename(self, run_id: str, name: str) -> None:
        """Give a run another name. Raises `BadInput` for one that is taken."""
        with self._write() as session:
            self._hold_names(session)
            if session.scalar(select(Run.id).where(Run.name == name, Run.id != run_id)):
                raise BadInput(f"there is a run named {name!r} already: choose another name")
            session.execute(update(Run).where(Run.id == run_id).values(name=name))

    def set_labels(self, run_ids: Sequence[str], add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add tags to runs and take others away."""
        add, remove = list(add), set(remove)
        with self._write() as session:
            for run in session.scalars(select(Run).where(Run.id.in_(run_ids))):
                run.tags = [tag for tag in dict.fromkeys([*run.tags, *add]) if tag not in remove]

    def annotate(self, run_id: str, note: str | None) -> None:
        """Replace the note on a run; None removes it."""
        with self._write() as session:
            session.execute(update(Run).where(Run.id == run_id).values(note=note))

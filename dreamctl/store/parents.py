"""Sweeps in MLflow: each is a run in the experiment `sweeps`, the parent of its runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dreamctl.store import pages
from dreamctl.store.models import Sweep
from dreamctl.store.store import Store
from dreamctl.store.tracking import exists, experiment

_EVERY = 60.0  # seconds between two descriptions of a sweep that is being worked through

Figures = Callable[[Store, str], list[Path]]  # the files of figures that were drawn from the sweep of that name


class Parents:
    """Copies the sweeps of a home, and remembers what it has copied."""

    def __init__(self, store: Store, figures: Figures) -> None:
        self.store, self.figures = store, figures
        self._copied: dict[str, Any] = {}  # how many runs of a sweep it saw in each status, and the figures
        self._described: dict[str, float] = {}
        self._told: dict[str, tuple[int, int]] = {}  # how many looks and registrations a description tells of

    def copy(self, client: Any, sweep: Sweep) -> None:
        """The sweep's run, its status, and the figures drawn from it."""
        counts = self.store.counts(sweep.id)
        drawn = {path: path.stat().st_mtime for path in self.figures(self.store, sweep.name)}
        if self._copied.get(sweep.id) == (counts, drawn):
            return
        there = sweep.mlflow_run
        if there is None or not exists(client, there):
            tags = {"mlflow.runName": sweep.name, "mlflow.source.name": "dreamctl", "dreamctl.sweep": sweep.id}
            place = experiment(client, self.store, pages.SWEEPS)
            found = client.search_runs([place], f"tags.`dreamctl.sweep` = '{sweep.id}'")  # of a mirror that was killed
            if not found:
                found = [client.create_run(place, round(1000 * sweep.created_at), tags, sweep.name)]
            there = found[0].info.run_id
            client.log_dict(there, sweep.spec, "sweep.json")
            self.store.note_mlflow(sweep.id, there)
        logged = client.get_run(there).data.tags
        for path, changed in drawn.items():
            if logged.get(f"figure.{path.name}") != repr(changed):
                client.log_artifact(there, str(path), "figures")
                client.set_tag(there, f"figure.{path.name}", repr(changed))
        status = _status(counts)
        if status == "RUNNING":
            client.update_run(there, status=status)
        else:
            ends = [run.finished_at for run in self.store.members(sweep.id, light=True) if run.finished_at]
            client.set_terminated(there, status, round(1000 * max([sweep.created_at, *ends])))  # runs may be older
        self._copied[sweep.id] = (counts, drawn)

    def judged(self, sweep: Sweep) -> bool:
        """Whether there was a look at a sweep, or a change of its questions, that its description does not tell of."""
        looks, versions = self.store.looks(sweep.id), self.store.registrations(sweep.id)
        return bool(looks) and (len(looks), len(versions)) != self._told.get(sweep.id)

    def describe(self, client: Any, sweep: Sweep) -> None:
        """Tell in the description what was answered and how the runs stand, with links to them in other experiments."""
        counts = self.store.counts(sweep.id)
        recent = time.monotonic() - self._described.get(sweep.id, -_EVERY) < _EVERY
        if sweep.mlflow_run is None or (recent and _status(counts) == "RUNNING"):
            return
        members = self.store.members(sweep.id, light=True)[: pages.LISTED]
        experiments = {task: experiment(client, self.store, task) for task in {run.task for run in members}}
        there = {run.id: self.store.mirrored(run.id).get("run") for run in members}
        runs = {pages.place(experiments[run.task], there[run.id] or ""): run for run in members if there[run.id]}
        looks, registrations = self.store.looks(sweep.id), self.store.registrations(sweep.id)
        text = pages.description_of_sweep(sweep, counts, runs, looks, registrations)
        client.set_tag(sweep.mlflow_run, pages.DESCRIPTION, text)
        self._described[sweep.id] = time.monotonic()
        self._told[sweep.id] = (len(looks), len(registrations))


def _status(counts: Mapping[str, int]) -> str:
    """MLflow's status of a sweep with so many runs in each status."""
    if counts.get("running") or counts.get("queued"):
        return "RUNNING"
    if counts.get("failed"):
        return "FAILED"
    return "KILLED" if counts.get("stopped") else "FINISHED"

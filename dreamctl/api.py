"""The runs of a home from Python: tables as pandas DataFrames, figures as matplotlib Figures, agents to act with.

    from dreamctl.api import Home

    home = Home("runs")
    home.runs().groupby(["method", "horizon"]).score.mean()

It only reads, and gives the same results as the commands, because both call the same functions. Errors that the user
can act on are `dreamctl.errors.DreamctlError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamctl.errors import BadInput
from dreamctl.store import Run, Store, fields, open_store
from dreamctl.store import where as narrow

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from agent.dreamer import Dreamer
    from agent.environment import Environment
    from agent.replay import Episode
    from dreamctl.results.claims import Verdict

_COLUMNS = ("id", "name", "task", "method", "objective", "seed", "preset", "status", "diverged")
_MORE = (
    *("steps", "env_steps", "updates", "score", "best_score", "work_seconds"),
    *("device", "hardware", "host", "code", "git_commit", "tags", "reason"),
)
_TIMES = ("created_at", "started_at", "finished_at")


class Home:
    """The runs of a home: of the given folder, else of DREAMCTL_HOME, else of runs/. Raises `HomeError`."""

    def __init__(self, path: str | Path | None = None) -> None:
        self._store: Store = open_store(path, create=False)

    @classmethod
    def recorded(cls) -> Home:
        """The runs that come with dreamctl."""
        from dreamctl.store.database import RECORDED

        return cls(RECORDED)

    @property
    def path(self) -> Path:
        """The folder of the home."""
        return self._store.home

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    def runs(self, *where: str) -> DataFrame:
        """A row for each run, oldest first, with columns for its status, its score and every field of its config.

        code: digests of what trained the run, joined by "+"; "unknown" where that is not on record.
        where: conditions such as "task=walker_walk" or "horizon=10,20"; runs must meet all of them. Times are in UTC.
        Raises `BadInput` for an unknown field.
        """
        import pandas as pd

        rows = []
        for run in self._runs(where):
            own = {key: fields.value(run, key) for key in (*_COLUMNS, *_MORE, *_TIMES)}
            own["parent"] = run.parent and run.parent["id"]
            rows.append(own | {key: value for key, value in run.config.items() if key not in own})
        if not rows:
            return pd.DataFrame(columns=[*_COLUMNS, *_MORE, *_TIMES, "parent"])
        table = pd.DataFrame(rows)
        for key in _TIMES:
            table[key] = pd.to_datetime(table[key], unit="s", utc=True)
        return table

    def metrics(self, run: str, names: Sequence[str] | None = None) -> DataFrame:
        """A column for each metric of a run, indexed by environment steps; NaN where it was not recorded.

        run: id or name, or an unambiguous prefix; names: all by default (`dreamctl show RUN` lists them).
        Raises `UnknownRun`, and `BadInput` for a metric that the run does not have.
        """
        import pandas as pd

        found = self._store.find(run)
        there = list(self._store.last_scalars(found.id))
        unknown = sorted(set(names or ()) - set(there))
        if unknown:
            raise BadInput(f"run {found.name} has no metric {', '.join(unknown)}; it has: {', '.join(there)}")
        columns = {}
        for name in there if names is None else names:
            points = self._store.scalars(found.id, name)
            columns[name] = pd.Series([p.value for p in points], [p.step for p in points], dtype=float)
        return pd.DataFrame(columns).sort_index().rename_axis("env_steps")

    def evaluations(self, *where: str) -> DataFrame:
        """A row for each evaluation of the runs that meet `where` (see `runs`): mean, std and list of its returns.

        kind: 'training', 'final', or 'manual' (from `dreamctl eval`).
        """
        import pandas as pd

        of_run = ("name", "task", "method", "objective", "seed")
        of_evaluation = ("env_steps", "kind", "mean", "std", "returns")
        rows = [
            [run.id, *(getattr(run, key) for key in of_run), *(getattr(found, key) for key in of_evaluation)]
            for run in self._runs(where)
            for found in self._store.evaluations(run.id)
        ]
        return pd.DataFrame(rows, columns=["run", *of_run, *of_evaluation])

    def curves(
        self, *where: str, by: str | Sequence[str] = ("task", "method", "objective"), width: int | None = None
    ) -> DataFrame:
        """Learning curves: mean and population std over seeds, in bins of environment steps, a row per group and bin.

        by: fields of runs or of their configs to group by; runs of one group may differ only in their seeds. width: bin
        width in environment steps; default: as in the figures. Columns: `by`, env_steps (right edge of the bin), mean,
        std, seeds. Forks are left out. Raises `BadInput` if no run has been evaluated or a group mixes tasks or
        settings.
        """
        import pandas as pd

        from dreamctl.results import cells, curves, standing

        by, groups = _keys(by), dict[tuple[Any, ...], list[Run]]()
        for run in self._unforked(where):
            if standing.counts(run):
                groups.setdefault(tuple(_value(run, key) for key in by), []).append(run)
        if not groups:
            raise BadInput("none of these runs has been evaluated yet: wait for the first evaluation (dreamctl ls)")
        every = [run for runs in groups.values() for run in runs]
        longest = max(run.steps for run in every)
        width, late = width or curves.bin_width(every), curves.tolerance(every)
        rows = []
        for values, runs in groups.items():
            if len(tasks := {run.task for run in runs}) > 1:
                raise BadInput(f"one group has the tasks {', '.join(sorted(tasks))}: add 'task' to by")
            cells.must_agree(runs, "group")
            points = curves.evaluations(self._store, standing.of_each_seed(runs, longest))
            curve = curves.aggregate([own for own in points.values() if len(own[0])], width, late)
            rows += [(*values, *point) for point in zip(*(column.tolist() for column in curve), strict=True)]
        return pd.DataFrame(rows, columns=[*by, *curve._fields]).rename(columns={"steps": "env_steps"})

    def compare(
        self,
        *where: str,
        by: str | Sequence[str] = ("method", "objective"),
        at: int | None = None,
        against: str | None = None,
        within: str | Sequence[str] = (),
    ) -> DataFrame:
        """A row for each group of runs, best first, with what `dreamctl compare` prints. Raises `BadInput`.

        Mean and difference are in returns, the IQM is in returns / 1000; intervals are pairs. Forks are left out.
        within: fields whose values weigh the same, as tasks do.
        """
        import pandas as pd

        from dreamctl.results import comparison

        found = comparison.compare(self._store, self._unforked(where), _keys(by), at, against, within=_keys(within))
        columns = (
            *("mean", "mean_interval", "iqm", "interval", "difference", "difference_interval"),
            *("improvement", "improvement_interval", "p", "reference"),
        )
        rows = [
            {"group": g.name, "runs": len(g.runs)} | {key: getattr(g, key) for key in columns} for g in found.groups
        ]
        return pd.DataFrame(rows).set_index("group").rename(columns={"interval": "iqm_interval"})

    def figure(
        self,
        name: str,
        *,
        preset: str | None = None,
        tasks: Sequence[str] | None = None,
        sweep: str | None = None,
        until: int | None = None,
        where: Sequence[str] = (),
    ) -> Figure:
        """A figure of the paper, such as "figure4", as `dreamctl plot` draws it. Raises `BadInput`."""
        from dreamctl.results import draw
        from dreamctl.results.cells import Choice

        chosen = None if tasks is None else tuple(tasks)
        choice = Choice(preset=preset, tasks=chosen, sweep=sweep, until=until, where=tuple(where))
        figure: Figure = draw.make(self._store, name, choice).figure
        return figure

    def claims(self, *, preset: str | None = None, sweep: str | None = None, until: int | None = None) -> list[Verdict]:
        """The verdict on each of the paper's claims, as `dreamctl report` gives them. Raises `BadInput`."""
        from dreamctl.results import claims
        from dreamctl.results.cells import Choice

        return claims.judge(claims.gather(self._store, Choice(preset=preset, sweep=sweep, until=until)))

    def agent(self, run: str, checkpoint: str = "latest", device: str = "cpu") -> Agent:
        """The agent in a run's checkpoint ('latest', 'best' or its environment steps).

        Raises `UnknownRun`, and `BadInput` if the checkpoint is missing or damaged.
        """
        from agent import trained
        from agent.checkpoints import CheckpointError
        from dreamctl.jobs import files

        found = self._store.find(run)
        chosen = files.choose(self._store, found, checkpoint)
        try:
            return Agent(*trained.load(self._store.file(found.id, chosen.path), found.task, device))
        except CheckpointError as error:
            raise BadInput(str(error)) from error

    def _runs(self, where: Sequence[str]) -> list[Run]:
        return narrow.fit(self._store.runs(), narrow.parse(where))

    def _unforked(self, where: Sequence[str]) -> list[Run]:
        return [run for run in self._runs(where) if run.parent is None]


class Agent:
    """A trained agent. Call it with an image to get its action, without noise; it remembers the episode so far.

    model: the networks (world model and behaviour). environment: the task that it was trained on.
    """

    def __init__(self, model: Dreamer, environment: Environment) -> None:
        self.model, self.environment = model, environment
        self.reset()

    def reset(self, seed: int = 0) -> None:
        """Begin a new episode. seed: of the samples of the model states."""
        from agent import seeds

        self._policy = self.model.policy(seeds.torch_generator(self.model.device, seed, "evaluation policy"))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The action [A] in [-1, 1] for an image [S, S, 3] uint8 of the environment."""
        return self._policy(image)

    def play(self, seed: int = 0, index: int = 0) -> Episode:
        """Play a whole episode, the one that `dreamctl eval` plays as number `index`: images, actions and rewards."""
        from agent.rollout import evaluation_episode

        return evaluation_episode(self.model, self.environment, seed, index)


def _keys(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _value(run: Run, key: str) -> Any:
    """The value of a field of a run or of its config. Raises `BadInput`."""
    fields.check(key, (*_COLUMNS, "code", "hardware"), "unknown field")
    return fields.value(run, key)

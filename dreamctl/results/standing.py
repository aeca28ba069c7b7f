"""What a run counts with: the rules that all readers share.

- A run that has diverged failed by its method. It is an outcome: at every evaluation that it no longer has, it scores
  what it scored at its last one, `NOTHING` if it had none. So it is as long as any run is wanted to be.
- A run that has failed otherwise failed by its machine. It is missing, and must be trained again.
- Any other run counts as far as it has come; readers mark or leave out those that are shorter than wanted.
- Of several runs of one seed, one counts: `of_each_seed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from dreamctl.results.costs import forked_at
from dreamctl.store import Run
from dreamctl.wording import counted

NOTHING = 0.0  # the score of a run that has diverged before its first evaluation
_NAMED = 5  # runs that a remark names
_CARRIED = 10_000  # evaluations that a diverged run is given at most: a row of a database may name any length
_TWICE = 3  # seeds of several runs that are told one by one

Rank = tuple[float, bool, float, str]


def diverged(run: Run) -> bool:
    """Whether a run has failed by its method."""
    return run.standing == "diverged"


def counts(run: Run) -> bool:
    """Whether a run has an outcome, or has been evaluated on the way to one."""
    return diverged(run) or (run.score is not None and run.status != "failed")


def come(run: Run) -> float:
    """How many environment steps a run has done, at least its length if finished; infinitely many if it diverged."""
    return math.inf if diverged(run) else max(run.env_steps, run.steps if run.status == "finished" else 0)


def carried_on(run: Run, means: Mapping[int, float], length: int) -> dict[int, float]:
    """{environment steps: mean return} of the evaluations up to `length` that a diverged run no longer has.

    Empty for any other run, and for one that was still learning there. means: those that it has had up to there.
    Evaluations come with the first episode that ends at or after a multiple of `eval_every` (of a multiple of it, where
    those were too many), once the seed episodes are
    there, and at the end.
    """
    if not diverged(run) or length < min(run.env_steps, run.steps):
        return {}
    episode, every = run.config["episode_length"], max(run.config["eval_every"], run.config["episode_length"])
    every *= -(-length // (every * _CARRIED)) or 1
    due = {-(-multiple // episode) * episode for multiple in range(every, length + 1, every)}
    last = max(means, default=max(forked_at(run), run.config["seed_episodes"] * episode - 1))
    return {step: means.get(last, NOTHING) for step in sorted(due | {length}) if last < step <= length}


def of_each_seed(runs: Iterable[Run], wanted: float) -> list[Run]:
    """By seed, one run of each: of several that differ in nothing but their length, the one that counts.

    That is the one that has come furthest towards the `wanted` environment steps; among equals one of exactly that
    length, whose last evaluation is its final one; among those the newest.
    """
    best = {run.seed: run for run in sorted(runs, key=lambda run: _rank(run, wanted))}
    return [best[seed] for seed in sorted(best)]


def again(groups: Iterable[Sequence[Run]], wanted: float) -> list[str]:
    """Remarks on the seeds of which a group has several runs, and on which of them counts; see `of_each_seed`."""
    found = []
    for runs in groups:
        for kept in of_each_seed(runs, wanted):
            others = [run for run in runs if run.seed == kept.seed and run is not kept]
            if others:
                times = "twice" if len(others) == 1 else f"{len(others) + 1} times"
                which = _which(_rank(kept, wanted), max(_rank(run, wanted) for run in others), wanted)
                found.append(f"{kept.task} seed {kept.seed} was trained {times}: {which} counts: {kept.name}")
    more = f"{counted(len(found) - _TWICE, 'more seed')} with several runs, of which one counts by the same rule"
    return [*found[:_TWICE], *([more] if len(found) > _TWICE else [])]


def remarks(runs: Sequence[Run]) -> list[str]:
    """Remarks that name the runs which count although they came to nothing, and those that do not count."""
    lost = [run for run in runs if diverged(run)]
    missing = [run for run in runs if run.status == "failed" and not diverged(run)]
    waiting = [run for run in runs if run.status != "failed" and run.score is None]
    found = []
    if lost:
        what = "runs count with their" if len(lost) > 1 else "run counts with its"
        found.append(f"{len(lost)} diverged {what} last evaluation, {NOTHING:.0f} without one: {_names(lost)}")
    if missing:
        found.append(f"failed and left out, to be trained again (dreamctl retry): {_names(missing)}")
    return found + ([f"not evaluated yet and left out: {_names(waiting)}"] if waiting else [])


def _rank(run: Run, wanted: float) -> Rank:
    far = math.inf if diverged(run) else run.env_steps
    return min(far, wanted), run.steps == wanted, run.created_at, run.id


def _which(first: Rank, second: Rank, wanted: float) -> str:
    """Why one run counts and not another, in words."""
    if first[0] > second[0]:
        return "the longer run"
    return f"that of {wanted:,.0f} steps" if first[1] > second[1] else "the newer run"


def _names(runs: Sequence[Run]) -> str:
    more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
    return ", ".join(run.name for run in runs[:_NAMED]) + more

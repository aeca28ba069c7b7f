"""How fast runs go and how long they will still take, honest from their first updates on.

A run is iterations: some updates, an episode, now and then an evaluation. Environment steps per second since it began
would promise a day's run within the hour: its seed episodes are played without updates.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from agent.config import Config, ConfigError
from dreamctl.store import Run, Store

_RECENT = 20  # iterations that the pace is taken from
_PAUSE = 10  # times as long as usual: the run was not at work in between


class Pace(NamedTuple):
    """rate: environment steps per second; left: seconds. None until there has been an update, or where unknown."""

    rate: float | None
    left: float | None


def pace(store: Store, run: Run) -> Pace:
    """Rate and time left of a running run, from the times at which its last episodes ended."""
    try:
        config = Config.from_dict(run.config)
    except ConfigError:  # of another version
        return Pace(None, None)
    length = config.episode_length
    done = run.env_steps // length
    recent = store.scalars(run.id, "time/episode_seconds", after=(done - _RECENT - 2) * length)
    ends = [end for end in recent if end.step <= run.env_steps]  # later: of an attempt whose last part is being redone
    if not ends or not run.updates:
        return Pace(None, None)
    playing = statistics.fmean(end.value for end in ends)
    since = max(0.0, (run.heartbeat_at or 0.0) - ends[-1].wall_time)
    to_play = -(-run.steps // length) - ends[-1].step // length
    learning = [end for end in ends if end.step >= config.seed_episodes * length]
    taken = [later.wall_time - earlier.wall_time for earlier, later in pairwise(learning)]
    if taken and taken[0] > 0 and learning[0].step == config.seed_episodes * length:  # without the additional updates
        share = config.updates / (config.updates + config.pretrain_updates)
        taken[0] = max(0.0, taken[0] - playing) * share + playing
    taken = [seconds for seconds in taken if seconds > 0]  # not where the clock was set back
    if taken:
        taken = [seconds for seconds in taken if seconds <= _PAUSE * statistics.median(taken)]
        iteration = statistics.fmean(taken)
        left = to_play * iteration - min(since, iteration)
    elif len(learning) > 1 or learning and learning[0].step > config.seed_episodes * length:  # the first of a fork
        return Pace(None, None)
    else:  # the first iteration, in which there may be more updates
        update = since / run.updates
        iteration = update * config.updates + playing
        left = to_play * iteration + update * (config.pretrain_updates - run.updates)
    return Pace(length / iteration if iteration else None, max(0.0, left) + config.final_episodes * playing)


def sweep_left(waiting: int, paces: Sequence[Pace]) -> float | None:
    """Seconds that the runs of a sweep still take, as many at once as are running now; None where that is not known.

    waiting: the environment steps of those that are queued, which go as fast as the running ones, of which are paces.
    """
    if not paces or any(one.left is None for one in paces):
        return None
    rates = [one.rate for one in paces if one.rate]
    work = [one.left or 0.0 for one in paces]
    if not rates:
        return None
    rate = statistics.median(rates)
    return max(max(work), (sum(work) + waiting / rate) / len(paces))

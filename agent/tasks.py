"""Tasks by name: the paper's 20 (Section 5, Appendix B), the rest of the control suite, custom environments.

Which camera the agent sees through follows the released code: 2 for the quadruped (0 sits inside its body), 0 else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import entry_points

from agent.config import ConfigError, nearest

GROUP = "dreamctl.environments"  # of entry points that name a custom environment
_FACTORY = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"
_LONGEST = 100  # characters of a name


@dataclass(frozen=True)
class Task:
    """`domain` and `task` are the control suite's; `factory` is "module:callable" for any other environment."""

    name: str
    domain: str = ""
    task: str = ""
    camera: int = 0
    factory: str = ""


def _suite(tasks: dict[str, str]) -> dict[str, Task]:
    """{name: task} from the tasks of each domain."""
    found = [
        Task(f"{domain}_{task}", domain, task, camera=2 if domain == "quadruped" else 0)
        for domain, listed in tasks.items()
        for task in listed.split()
    ]
    return {task.name: task for task in found}


TASKS = _suite(
    {
        "acrobot": "swingup",
        "ball_in_cup": "catch",
        "cartpole": "balance balance_sparse swingup swingup_sparse",
        "cheetah": "run",
        "finger": "spin turn_easy turn_hard",
        "hopper": "hop stand",
        "pendulum": "swingup",
        "quadruped": "run walk",
        "reacher": "easy hard",
        "walker": "run stand walk",
    }
)  # of the paper

MORE = _suite(
    {
        "acrobot": "swingup_sparse",
        "cartpole": "two_poles three_poles",
        "dog": "stand walk trot run fetch",
        "fish": "upright swim",
        "humanoid": "stand walk run run_pure_state",
        "humanoid_CMU": "stand walk run",
        "lqr": "lqr_2_1 lqr_6_2",
        "manipulator": "bring_ball bring_peg insert_ball insert_peg",
        "point_mass": "easy hard",
        "quadruped": "escape fetch",
        "stacker": "stack_2 stack_4",
        "swimmer": "swimmer6 swimmer15",
    }
)  # of the control suite, not of the paper

_SUITE = TASKS | MORE
_SPELLINGS = {name.lower(): name for name in _SUITE} | {"cup_catch": "ball_in_cup_catch"}  # as the figures call it


def known_as(name: str) -> str:
    """The name of a task of the control suite as runs have it; any other name as it is."""
    return _SPELLINGS.get(re.sub(r"[ -]", "_", name.lower()), name)


def get(name: str) -> Task:
    """The task of that name, as one types it: "walker_walk", "Cup Catch", "my_module:factory", an entry point's name.

    Whether a custom environment exists is not checked. `ConfigError` names the nearest task.
    """
    known = known_as(name)
    if known in _SUITE:
        return _SUITE[known]
    if re.fullmatch(_FACTORY, name) and len(name) <= _LONGEST:
        return Task(name, factory=name)
    own = {point.name: point.value for point in entry_points(group=GROUP)}
    if name in own and len(name) <= _LONGEST:
        return Task(name, factory=own[name])
    close = nearest(name, (*_SPELLINGS, *own))
    raise ConfigError(f"unknown task {name!r}{close}; dreamctl methods lists them, or name your own: module:factory")

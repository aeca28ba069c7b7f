"""The 20 tasks of the paper (Section 6, Appendix B), by name.

Which camera the agent sees through follows the released code: 2 for the quadruped (0 sits inside its body), 0 else.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.config import ConfigError, nearest


@dataclass(frozen=True)
class Task:
    """A control-suite task: `name` is `domain_task`; `action_size` (A) the number of continuous actions."""

    domain: str
    task: str
    action_size: int
    camera: int = 0

    @property
    def name(self) -> str:
        return f"{self.domain}_{self.task}"


_ALL = (
    Task("acrobot", "swingup", 1),
    Task("ball_in_cup", "catch", 2),
    Task("cartpole", "balance", 1),
    Task("cartpole", "balance_sparse", 1),
    Task("cartpole", "swingup", 1),
    Task("cartpole", "swingup_sparse", 1),
    Task("cheetah", "run", 6),
    Task("finger", "spin", 2),
    Task("finger", "turn_easy", 2),
    Task("finger", "turn_hard", 2),
    Task("hopper", "hop", 4),
    Task("hopper", "stand", 4),
    Task("pendulum", "swingup", 1),
    Task("quadruped", "run", 12, camera=2),
    Task("quadruped", "walk", 12, camera=2),
    Task("reacher", "easy", 2),
    Task("reacher", "hard", 2),
    Task("walker", "run", 6),
    Task("walker", "stand", 6),
    Task("walker", "walk", 6),
)

TASKS: dict[str, Task] = {task.name: task for task in _ALL}


def get(name: str) -> Task:
    """The task of that name; `ConfigError` names the nearest."""
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}{nearest(name, TASKS)}; tasks: {', '.join(TASKS)}")
    return TASKS[name]

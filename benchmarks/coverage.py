"""How often 95 % intervals hold the truth: `python -m benchmarks.coverage [--trials N]`, two Markdown tables.

Scores are drawn from known distributions, of 1, 4 and 20 tasks (whose levels are spread from 0.3 to 0.9; a single one
is at 0.8) and 2 to 10 seeds:

- normal: standard deviation 0.05;
- halves: each seed succeeds or fails (a quarter of the level) by the toss of a coin;
- failures: one seed in five fails so.

The truth is that of a million seeds. Compared are the percentile bootstrap (seeds drawn again within each task),
Student's t alone, and the intervals of `dreamctl.results.statistics`. The second table says how often one of five
groups that are equal is called different.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable

import numpy as np

from dreamctl.results import statistics

KINDS = {"normal": 0.0, "halves": 0.5, "failures": 0.2}  # the share of seeds that fail
TASKS, SEEDS = (1, 4, 20), (2, 3, 4, 5, 7, 10)
DRAWS = 200  # of the bootstrap
LEVEL = 0.95

Drawn = tuple[float, float]


def draw(kind: str, tasks: int, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of [tasks, seeds]."""
    level = np.linspace(0.3, 0.9, tasks)[:, None] if tasks > 1 else np.array([[0.8]])
    failed = rng.random((tasks, seeds)) < KINDS[kind]
    return np.clip(np.where(failed, level / 4, level) + rng.normal(0, 0.05, (tasks, seeds)), 0, 1)


def scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """As the statistics take them."""
    return {str(task): row for task, row in enumerate(matrix)}


def trimmed(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The IQM along an axis."""
    ordered = np.sort(values, axis)
    cut = values.shape[axis] // 4
    return np.take(ordered, range(cut, values.shape[axis] - cut), axis).mean(axis)


def bootstrap(matrix: np.ndarray, statistic: Callable[..., np.ndarray], rng: np.random.Generator) -> Drawn:
    """The percentile bootstrap: seeds drawn again within each task."""
    tasks, seeds = matrix.shape
    chosen = matrix[np.arange(tasks)[:, None], rng.integers(seeds, size=(DRAWS, tasks, seeds))]
    low, high = np.quantile(statistic(chosen.reshape(DRAWS, -1), axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def student(matrix: np.ndarray) -> Drawn:
    """The mean by Student's t alone, with Satterthwaite's degrees of freedom."""
    from scipy.stats import t

    parts = matrix.var(1, ddof=1) / matrix.shape[1] / len(matrix) ** 2
    freedom = parts.sum() ** 2 / (parts**2 / (matrix.shape[1] - 1)).sum()
    half = t.ppf((1 + LEVEL) / 2, freedom) * parts.sum() ** 0.5
    return float(matrix.mean() - half), float(matrix.mean() + half)


def coverage(kind: str, tasks: int, seeds: int, trials: int) -> list[float]:
    """How often the truth is held: IQM by bootstrap and by us; mean by bootstrap, by t alone and by us; P(better)."""
    rng = np.random.default_rng([tasks, seeds])
    many = draw(kind, tasks, 1_000_000 // tasks, np.random.default_rng(0))
    iqm, mean = float(trimmed(many.ravel())), float(many.mean())
    held = np.zeros(6)
    for _ in range(trials):
        matrix, other = draw(kind, tasks, seeds, rng), draw(kind, tasks, seeds, rng)
        ours = scores(matrix)
        intervals = [
            (iqm, bootstrap(matrix, trimmed, rng)),
            (iqm, statistics.iqm_interval(ours)),
            (mean, bootstrap(matrix, np.mean, rng)),
            (mean, student(matrix)),
            (mean, statistics.mean_interval(ours)),
            (0.5, statistics.improvement_interval(ours, scores(other))),
        ]
        held += [low <= truth <= high for truth, (low, high) in intervals]
    return list(held / trials)


def alarms(tasks: int, seeds: int, trials: int) -> tuple[float, float]:
    """How often five equal groups are said to differ from the best: by bootstrap as before, by Holm's exact tests."""
    rng = np.random.default_rng([tasks, seeds])
    before = after = 0
    for _ in range(trials):
        groups = sorted((draw("normal", tasks, seeds, rng) for _ in range(5)), key=lambda g: -float(trimmed(g.ravel())))
        before += any(0.5 > better(group, groups[0], rng)[1] for group in groups[1:])
        pairs = itertools.combinations(map(scores, groups), 2)
        corrected = statistics.holm([statistics.rank_test(*pair) or 1.0 for pair in pairs])
        after += min(corrected[:4]) < 0.05  # the pairs with the best come first
    return before / trials, after / trials


def better(ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> Drawn:
    """P(better) by the percentile bootstrap."""
    tasks, seeds = ours.shape
    rows = np.arange(tasks)[:, None]
    ours, theirs = (side[rows, rng.integers(seeds, size=(DRAWS, tasks, seeds))] for side in (ours, theirs))
    chances = (ours[..., :, None] > theirs[..., None, :]).mean((1, 2, 3))
    low, high = np.quantile(chances, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    arguments = parser.parse_args()
    print("| scores | tasks | seeds | IQM: bootstrap | ours | mean: bootstrap | t alone | ours | P(better): ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, tasks, seeds in itertools.product(KINDS, TASKS, SEEDS):
        held = coverage(kind, tasks, seeds, arguments.trials)
        print(f"| {kind} | {tasks} | {seeds} | {' | '.join(f'{share:.2f}' for share in held)} |", flush=True)
    print("\n| tasks | seeds | false alarms: bootstrap, best as reference | Holm over all pairs |\n|---|---|---|---|")
    for tasks, seeds in itertools.product(TASKS, (3, 5, 10)):
        before, after = alarms(tasks, seeds, arguments.trials // 2)
        print(f"| {tasks} | {seeds} | {before:.2f} | {after:.2f} |", flush=True)


if __name__ == "__main__":
    main()

"""How often questions are answered falsely, and after how many seeds: `python -m benchmarks.sequential`.

A question says that one method scores above another on average over 1, 2 or 4 tasks; the margin is 50 points. Answers:
confirmed, contradicted, too small to matter, or none. False are all but "too small" when the methods are equal, and
"too small" and "contradicted" when the difference is the margin. Worlds, each with the same mean on both sides:

- normal: a spread of 80 points between seeds; tight: of 30; unequal: of 40 against 160;
- ends: nearly all scores close to 1000 (exponentially distributed below, mean 950);
- halves: each seed has 800 or 200 by the toss of a coin; failures: one in five has 200;
- halves/steady, failures/steady: such a method against one of the same mean that never fails.

Tables: spending functions and intervals (how the rule was chosen); the rule against designs of fixed size, against
"twice as many seeds until it is decided" and against AdaStop; several questions of one file; claims that count tasks,
also where other cells of the sweep, which the question is not about, scatter otherwise.
AdaStop (`pip install adastop`) is compared if it can be imported.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from dreamctl.results import counting, sequential, statistics

MARGIN = 0.05
TASKS = (1, 2, 4)
LOOKS = ((3, 5, 8), (4, 8, 12, 16))
DOUBLED = (3, 6, 12, 24)
UNIFORM = 1 / 12
OPEN, CONFIRMED, CONTRADICTED, SMALL = range(4)
PERMUTATIONS = 500  # of AdaStop, which is slow

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(scale: float, mean: float = 0.5) -> Draw:
    return lambda rng, shape: rng.normal(mean, scale, shape)


def failing(share: float) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.clip(np.where(rng.random(shape) < share, 0.2, 0.8) + rng.normal(0, 0.05, shape), 0, 1)

    return draw


def near_the_end(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1 - np.minimum(1, rng.exponential(0.05, shape))


WORLDS: dict[str, tuple[Draw, Draw]] = {
    "normal": (normal(0.08), normal(0.08)),
    "tight": (normal(0.03), normal(0.03)),
    "unequal": (normal(0.04), normal(0.16)),
    "ends": (near_the_end, near_the_end),
    "halves": (failing(0.5), failing(0.5)),
    "failures": (failing(0.2), failing(0.2)),
    "halves/steady": (failing(0.5), normal(0.05)),
    "failures/steady": (failing(0.2), normal(0.05, 0.68)),
}
POWERED = ("normal", "unequal", "failures")  # worlds whose power is shown


class Look(NamedTuple):
    """After so many seeds: estimates [...] and the variances [..., samples] that samples contribute to them."""

    seeds: int
    estimate: np.ndarray
    variances: np.ndarray


class Design(NamedTuple):
    """Looks, the levels at them, and the degrees of freedom of the weak prior (None: that of `statistics`)."""

    looks: Sequence[int]
    levels: Sequence[float]
    prior: float | None = None


def drawn(world: str, shift: float, shape: tuple[int, ...], seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Scores [2, *shape, seeds] of both methods; the first is better by `shift`."""
    ours, theirs = WORLDS[world]
    size = (*shape, seeds)
    return np.stack([ours(rng, size) + shift, theirs(rng, size)])


def looks_at(scores: np.ndarray, seeds: Sequence[int]) -> list[Look]:
    """scores: [2, ..., tasks, seeds]; the difference of the means over tasks."""
    found = []
    for count in seeds:
        seen = scores[..., :count]
        variances = seen.var(-1, ddof=1) / count / scores.shape[-2] ** 2
        means = seen.mean((-2, -1))
        found.append(Look(count, means[0] - means[1], np.concatenate([variances[0], variances[1]], -1)))
    return found


def answer(look: Look, level: Any, prior: float | None = None) -> np.ndarray:
    """By the intervals of `statistics`, all trials at once."""
    samples = look.variances.shape[-1]
    unseen = UNIFORM * (2 / samples) ** 2 * samples / look.seeds
    freedom = 1 / samples if prior is None else prior
    half = statistics.half_width(look.variances, np.full(samples, look.seeds - 1.0), unseen, freedom, 1 - level)
    low, high = look.estimate - half, look.estimate + half
    return np.select([(-MARGIN < low) & (high < MARGIN), low > 0, high < 0], [SMALL, CONFIRMED, CONTRADICTED], OPEN)


def run(design: Design, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The answers, and the seeds that they took."""
    looks = looks_at(scores, design.looks)
    answers, used = np.zeros(looks[0].estimate.shape, int), np.full(looks[0].estimate.shape, design.looks[-1])
    for look, level in zip(looks, design.levels, strict=True):
        waiting = answers == OPEN
        answers = np.where(waiting, answer(look, level, design.prior), answers)
        used = np.where(waiting & (answers != OPEN), look.seeds, used)
    return answers, used


def false(answers: np.ndarray, shift: float) -> float:
    """The share of answers that are false, where the difference is 0 or at least the margin."""
    return float(np.isin(answers, (CONFIRMED, CONTRADICTED) if shift == 0 else (SMALL, CONTRADICTED)).mean())


SPENDING: dict[str, Callable[[float, float], float]] = {
    "Pocock": lambda share, alpha: alpha * math.log(1 + (math.e - 1) * share),
    "rho = 1": lambda share, alpha: alpha * share,
    "rho = 2": lambda share, alpha: alpha * share**2,
    "rho = 3": lambda share, alpha: alpha * share**3,
    "O'Brien-Fleming": lambda share, alpha: 4 * float(ndtr(ndtri(alpha / 4) / math.sqrt(share))),
}


def spent(name: str, looks: Sequence[int], alpha: float = sequential.ALPHA) -> list[float]:
    """The levels at looks by another spending function than ours."""
    shares = [count / looks[-1] for count in looks]
    limits = sequential.boundaries(shares, [SPENDING[name](share, alpha) for share in shares])
    return [2 * float(ndtr(-limit)) for limit in limits]


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def heading(*cells: str) -> None:
    print()
    row(*cells)
    row(*["---"] * len(cells))


def choosing(trials: int) -> None:
    """Spending functions and intervals, on one task, where everything is hardest, and on two."""
    heading("tasks", "looks", "interval", "spending", *WORLDS, "power", "seeds")
    priors: dict[str, float | None] = {"t alone": 0.0, "weak prior": None, "prior of 1": 1.0}
    for tasks in (1, 2):
        for looks in LOOKS:
            rng = np.random.default_rng([tasks, *looks])
            equal = {world: drawn(world, 0, (trials, tasks), looks[-1], rng) for world in WORLDS}
            better = drawn("normal", 2 * MARGIN, (trials, tasks), looks[-1], rng)
            for label, prior in priors.items():
                for name in SPENDING:
                    design = Design(looks, spent(name, looks), prior)
                    rates = [percent(false(run(design, scores)[0], 0)) for scores in equal.values()]
                    answers, used = run(design, better)
                    power = f"{(answers == CONFIRMED).mean():.2f}"
                    row(tasks, ", ".join(map(str, looks)), label, name, *rates, power, f"{used.mean():.1f}")


def designs() -> dict[str, Design]:
    ours = {f"looks {', '.join(map(str, looks))}": Design(looks, sequential.levels(looks)) for looks in LOOKS}
    fixed = {f"fixed {count}": Design((count,), (sequential.ALPHA,)) for count in (3, 5, 8, 16)}
    doubled = {"3, doubled to 24": Design(DOUBLED, [sequential.ALPHA] * len(DOUBLED))}
    return ours | fixed | doubled


def adastop(scores: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """AdaStop on means over tasks, with four blocks of four seeds; its "equal" is no answer."""
    from adastop import MultipleAgentsComparator

    means = scores.mean(-2)
    pair = np.empty(1, object)  # of tuples, which are much faster to print than arrays; it does so all the time
    pair[0] = (0, 1)
    answers, used = [], []
    meaning = {"larger": CONFIRMED, "smaller": CONTRADICTED, "equal": OPEN}
    for trial in range(means.shape[1]):
        comparator = MultipleAgentsComparator(n=4, K=4, B=PERMUTATIONS, comparisons=pair, alpha=alpha, seed=trial)
        for count in LOOKS[1]:
            comparator.partial_compare({"ours": means[0, trial, :count], "theirs": means[1, trial, :count]}, False)
            if comparator.is_finished:
                break
        (decision,) = comparator.decisions.values()
        answers.append(meaning[decision])
        used.append(count)
    return np.array(answers), np.array(used)


def against_adastop(trials: int) -> None:
    """The rule and AdaStop on the same scores of one task: false answers; power and seeds for twice the margin."""
    if find_spec("adastop") is None:
        print("\nAdaStop is not installed: not compared.")
        return
    methods: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
        "looks 4, 8, 12, 16": partial(run, Design(LOOKS[1], sequential.levels(LOOKS[1]))),
        "AdaStop, alpha 0.05": partial(adastop, alpha=0.05),
        "AdaStop, alpha 0.025": partial(adastop, alpha=0.025),
    }
    heading("scores", *(f"{what}: {name}" for what in ("false", "power (seeds)") for name in methods))
    for world in ("normal", "unequal", "halves", "halves/steady", "failures/steady"):
        rng = np.random.default_rng([1, 3])
        equal, better = (drawn(world, shift, (trials, 1), LOOKS[1][-1], rng) for shift in (0, 2 * MARGIN))
        rates = [percent(false(method(equal)[0], 0)) for method in methods.values()]
        powers = [method(better) for method in methods.values()]
        power = [f"{(answers == CONFIRMED).mean():.2f} ({used.mean():.1f})" for answers, used in powers]
        row(world, *rates, *power)


def comparing(trials: int) -> None:
    """False answers, then power and seeds."""
    methods = designs()
    heading("tasks", "scores", *methods)
    for tasks in TASKS:
        for world in WORLDS:
            rng = np.random.default_rng([tasks, 1])
            pair = [(shift, drawn(world, shift, (trials, tasks), DOUBLED[-1], rng)) for shift in (0, MARGIN)]
            cells = []
            for method in methods.values():
                cells.append(" / ".join(percent(false(run(method, scores)[0], shift)) for shift, scores in pair))
            row(tasks, world, *cells)
    heading("tasks", "scores", "difference", *methods)
    for tasks in TASKS:
        for world in POWERED:
            for times in (1, 2, 4):
                scores = drawn(world, times * MARGIN, (trials, tasks), DOUBLED[-1], np.random.default_rng([tasks, 2]))
                cells = []
                for method in methods.values():
                    answers, used = run(method, scores)
                    cells.append(f"{(answers == CONFIRMED).mean():.2f} ({used.mean():.1f})")
                row(tasks, world, f"{1000 * times * MARGIN:.0f}", *cells)


def file_of(scores: Sequence[np.ndarray], looks: Sequence[int], holm: bool) -> np.ndarray:
    """The answers [trials, questions] to the questions of a file, by the rule, with or without Holm's method."""
    seen = [looks_at(each, looks) for each in scores]
    count, trials = len(scores), scores[0].shape[1]
    levels = np.array([sequential.levels(looks, sequential.ALPHA / max(1, waiting)) for waiting in range(count + 1)])
    answers = np.zeros((trials, count), int)
    for index in range(len(looks)):
        for _ in range(count):  # as `sequential.settle`, all trials at once
            waiting = (answers == OPEN).sum(1) if holm else np.ones(trials, int)
            level = levels[waiting, index]
            found = np.stack([answer(each[index], level) for each in seen], 1)
            answers = np.where(answers == OPEN, found, answers)
    return answers


def several(trials: int) -> None:
    """Files of four questions, some of which have large differences: any false answer, power of the others."""
    heading("scores", "looks", "questions with a difference", "any false: Holm", "each at 5 %", "power: Holm", "each")
    for world in ("normal", "unequal", "halves"):
        for looks in LOOKS:
            for real in (0, 2, 3):
                rng = np.random.default_rng([real, *looks])
                shifts = [0.2 if index < real else 0.0 for index in range(4)]
                scores = [drawn(world, shift, (trials, 2), looks[-1], rng) for shift in shifts]
                rates, power = [], []
                for holm in (True, False):
                    answers = file_of(scores, looks, holm)
                    wrong = np.isin(answers[:, real:], (CONFIRMED, CONTRADICTED)).any(1)
                    wrong |= np.isin(answers[:, :real], (SMALL, CONTRADICTED)).any(1)
                    rates.append(percent(wrong.mean()))
                    power.append(f"{(answers[:, :real] == CONFIRMED).mean():.2f}" if real else "")
                row(world, ", ".join(map(str, looks)), f"{real} of 4", *rates, *power)


SPREADS = ("alike", "differ", "differ much", "by method", "a quarter fails", "one in ten fails")


def many_tasks(kind: str, trials: int, tasks: int, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Scores [2, trials, tasks, seeds] around 0, whose spread differs between tasks and methods."""
    shape = (2, trials, tasks, 1)
    noise = rng.normal(0, 1, (2, trials, tasks, seeds))
    if kind.endswith("fails"):
        share = np.where(rng.random(shape) < 0.25, 0.5, 0.0) if kind == "a quarter fails" else np.full(shape, 0.1)
        return np.where(rng.random(noise.shape) < share, -0.6, 0.0) + 0.6 * share + 0.03 * noise
    if kind == "by method":
        return noise * np.array([0.02, 0.15])[:, None, None, None]
    width = {"alike": 0.0, "differ": 0.7, "differ much": 1.2}[kind]
    return noise * np.exp(rng.normal(math.log(0.06), width, shape))


TASKS_COUNTED = 20
COUNTS = ((15, 18), (11, 15))  # at least so many are claimed to be better; so many are, where the claim is true
GAIN = 0.4  # of a task that is better


def pooled(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of the tasks' differences and their degrees of freedom, [trials, tasks].

    scores: [2, trials, tasks, seeds].
    """
    seeds, trials = scores.shape[-1], scores.shape[1]
    cells = np.moveaxis(scores, 1, 2).reshape(-1, trials, seeds)
    priors = [sequential.spread(list(cells[:, trial]), 2) for trial in range(trials)]
    assert all(priors)
    variance, freedom = np.array(priors, float).T[..., None]
    variances = np.moveaxis(scores.var(-1, ddof=1) / seeds, 0, -1)
    return statistics.standard_error(variances, np.full(2, seeds - 1.0), 2 * variance / seeds, freedom)


def least_better(estimate: np.ndarray, error: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """On how many tasks, at least, the difference is surely above 0, by a question's only look; all [..., tasks]."""
    return counting.least(stdtr(freedom, -estimate / error), sequential.ALPHA / 2)


def claims(estimate: np.ndarray, error: np.ndarray, freedom: np.ndarray) -> list[str]:
    """How often each of `COUNTS` is confirmed, in percent: where one task too few is better, and where enough are."""
    shown = []
    for wanted, enough in COUNTS:
        for real in (wanted - 1, enough):
            better = estimate + GAIN * (np.arange(TASKS_COUNTED) < real)
            shown.append(percent((least_better(better, error, freedom) >= wanted).mean()))
    return shown


CLAIMS = [f"{real} better: {wanted} confirmed" for wanted, enough in COUNTS for real in (wanted - 1, enough)]


def few_seeds(trials: int) -> None:
    """Twenty tasks with few seeds: single intervals, and claims of on how many tasks a method is better."""
    heading("spread", "seeds", "half-width: weak prior", "pooled", "t alone", "false: weak prior", "pooled", "t alone",
            *CLAIMS)  # fmt: skip
    for kind in SPREADS:
        for seeds in (2, 3, 5):
            scores = many_tasks(kind, trials, TASKS_COUNTED, seeds, np.random.default_rng(seeds))
            estimate = scores[0].mean(-1) - scores[1].mean(-1)
            variances, freedoms = np.moveaxis(scores.var(-1, ddof=1) / seeds, 0, -1), np.full(2, seeds - 1.0)
            error, freedom = pooled(scores)
            level = 1 - sequential.ALPHA
            weak, alone = (
                statistics.half_width(variances, freedoms, 2 * unit / seeds, own, level)
                for unit, own in ((UNIFORM, 0.5), (0.0, 0.0))
            )
            halves = (weak, stdtrit(freedom, 1 - sequential.ALPHA / 2) * error, alone)
            widths = [f"{1000 * np.median(half):.0f}" for half in halves]
            rates = [percent((np.abs(estimate) > half).mean()) for half in halves]
            row(kind, seeds, *widths, *rates, *claims(estimate, error, freedom))


PARTS: dict[str, Callable[[int], None]] = {
    "choosing": choosing,
    "comparing": comparing,
    "several": several,
    "few-seeds": lambda trials: few_seeds(trials // 4),
    "adastop": lambda trials: against_adastop(trials // 20),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--only", choices=PARTS, nargs="*", default=list(PARTS), help="these tables")
    arguments = parser.parse_args()
    for part in arguments.only:
        PARTS[part](arguments.trials)


if __name__ == "__main__":
    main()

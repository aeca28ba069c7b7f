"""experiments/verdicts.py on invented runs of its sweep files, in worlds where its claims are true and false."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.synthetic import World, fill
from dreamctl.api import Home
from dreamctl.jobs import sweeps
from dreamctl.jobs.sweeps import Request
from dreamctl.results.claims import CONFIRMED, CONTRADICTED, UNDECIDED
from dreamctl.store import open_store

FOLDER = Path(__file__).parents[3] / "experiments"
VERDICTS = runpy.run_path(str(FOLDER / "verdicts.py"))
HOURS = {"dreamer": 1.0, "no_value": 1.0, "planet": 1.0}
COUNT = 80


def cells(names=("representation", "action-repeat", "returns", "horizon", "planet")):
    found = [cell for name in names for cell in sweeps.build(str(FOLDER / f"{name}-tiny.yaml"), Request()).cells()]
    return list({cell.digest: replace(cell, name=f"run-{cell.digest[:12]}") for cell in found}.values())


def true(cell, at):
    config = cell.config
    score = {"dreamer": 800, "no_value": 30 * min(config.horizon, 15), "planet": 200}[config.method]
    score *= {"reconstruction": 1.0, "contrastive": 0.6, "reward": 0.2}[config.objective]
    score *= {1: 0.6, 2: 0.9, 4: 1.0}[config.action_repeat]
    if config.method == "dreamer":
        score *= {"lambda": 1.0, "n_step": 0.4, "rewards": 0.2}[config.returns]
    return np.full(len(at), float(score))


def false(cell, at):
    config = cell.config
    score = {"dreamer": 20 * config.horizon, "no_value": 600, "planet": 700}[config.method]
    score *= {"reconstruction": 1.0, "contrastive": 2.0, "reward": 4.0}[config.objective]
    score *= {1: 0.3, 2: 0.4, 4: 1.0}[config.action_repeat]
    if config.method == "dreamer":
        score *= {"lambda": 1.0, "n_step": 4.0, "rewards": 5.0}[config.returns]
    return np.full(len(at), float(score))


def outcomes(home, world, kept, noise=1.0):
    fill(open_store(home), kept, World(world, HOURS, 0.3), noise, 50_000)
    find = VERDICTS["cells"](Home(home))
    return {number: measure.outcome for number, measure in VERDICTS["measures"](find).items()}


def test_what_the_documents_say_is_what_the_recorded_runs_give():
    """Estimates, intervals and outcomes in docs/results.md; those that README.md repeats."""
    said = {}
    for line in (FOLDER.parent / "docs" / "results.md").read_text().splitlines():
        if match := re.fullmatch(r"\| (\d+) \| [^|]+ \| ([^|]*) ?\| ([^|]*) ?\| (\w+)[^|]* \|", line):
            number, estimate, interval, outcome = match.groups()
            numbers = sorted(re.findall(r"-?\d[\d.]*", estimate))
            said[number] = (numbers, interval.strip(), outcome)
    found = {}
    for number, measure in VERDICTS["measures"](VERDICTS["cells"](Home.recorded())).items():
        _, _, estimate, interval, outcome = VERDICTS["row"](number, measure)
        found[number] = (re.findall(r"-?\d[\d.]*", estimate), interval.strip("-"), outcome)
    assert said == found
    repeated = re.findall(r"\| (\w+): (-?\d+) (\[.*?\]) \|", (FOLDER.parent / "README.md").read_text())
    assert len(repeated) > 3
    assert {(outcome, estimate, interval) for outcome, estimate, interval in repeated} <= {
        (outcome, *numbers[:1], interval) for numbers, interval, outcome in found.values()
    }


def test_the_sweep_files_are_80_runs():
    assert len(cells()) == COUNT
    assert len(cells(["horizon"])) == 32 and len(cells(["representation"])) == 18


def test_true_claims_are_confirmed(tmp_path):
    assert outcomes(tmp_path, true, cells()) == {str(n): CONFIRMED for n in range(1, 12)}


def test_false_claims_are_contradicted(tmp_path):
    found = outcomes(tmp_path, false, cells())
    assert found == {str(n): CONTRADICTED for n in range(1, 12)}


@pytest.mark.parametrize(
    "kept, undecided",
    [
        (lambda cell: cell.seed == 0, "1 2 3 4 5 6 7 10 11"),  # 8 and 9 have no interval
        (lambda cell: (cell.task, cell.config.horizon) != ("cheetah_run", 25), "1 3 4"),
        (lambda cell: cell.config.objective != "contrastive", "5 6"),
        (lambda cell: (cell.task, cell.config.action_repeat) != ("walker_stand", 1), "8 9"),
    ],
)
def test_what_lacks_runs_is_undecided(tmp_path, kept, undecided):
    found = outcomes(tmp_path, true, [cell for cell in cells() if kept(cell)])
    assert {number for number, outcome in found.items() if outcome == UNDECIDED} == set(undecided.split())


def test_what_seeds_do_not_agree_on_is_undecided(tmp_path):
    found = outcomes(tmp_path, true, cells(), noise=400.0)
    assert [found[number] for number in ("1", "10")] == [UNDECIDED] * 2


def test_the_difference_is_that_of_the_means_by_hand(tmp_path):
    fill(open_store(tmp_path), cells(["representation"]), World(true, HOURS, 0.3), 20.0, 50_000)
    runs = Home(tmp_path).runs()
    means = runs.groupby(["task", "objective"]).score.mean()
    by_hand = np.mean([means[task, "reward"] - 0.8 * means[task, "reconstruction"] for task in VERDICTS["SHOWN"]])
    find = VERDICTS["cells"](Home(tmp_path))
    assert VERDICTS["measures"](find)["7"].interval.estimate == pytest.approx(by_hand)

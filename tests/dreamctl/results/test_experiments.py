"""The questions of experiments/, on the recorded runs and on invented ones."""

import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.synthetic import World, fill
from dreamctl.api import Home
from dreamctl.jobs import looks, sweeps
from dreamctl.jobs.sweeps import Request
from dreamctl.results import answers
from dreamctl.store import open_store
from dreamctl.store.database import RECORDED
from dreamctl.wording import estimated
from tests.dreamctl.results.conftest import EXPERIMENTS

HOURS = {"dreamer": 1.0, "no_value": 1.0, "planet": 1.0}
FILES = ("representation", "action-repeat", "returns", "horizon")


def plan(name, **options):
    return sweeps.build(str(EXPERIMENTS / f"{name}-tiny.yaml"), Request(**options))


@pytest.mark.parametrize("name", FILES)
def test_stored_answers_hold_for_the_questions_as_this_code_reads_them(name):
    store = open_store(RECORDED, create=False)
    sweep = store.find_sweep(f"{name}-tiny")
    known = {row["question"]: row["answer"] for row in store.looks(sweep.id)[-1].answers}
    assert known and {one["question"]: one["answer"] for one in looks.state(store, sweep)} == known


def true(cell, at):
    config = cell.config
    score = {"dreamer": 700, "no_value": 30 * min(config.horizon, 15), "planet": 200}[config.method]
    score *= {"reconstruction": 1.0, "contrastive": 0.6, "reward": 0.2}[config.objective]
    score *= {1: 0.8, 2: 1.0, 4: 0.9}[config.action_repeat]
    if config.method == "dreamer":
        score *= {"lambda": 1.0, "n_step": 0.4, "rewards": 0.2}[config.returns]
    return np.full(len(at), float(score))


def false(cell, at):
    config = cell.config
    score = {"dreamer": min(500, 60 * config.horizon), "no_value": 600, "planet": 700}[config.method]
    score *= {"reconstruction": 1.0, "contrastive": 1.4, "reward": 1.8}[config.objective]
    score *= {1: 0.1, 2: 0.3, 4: 1.0}[config.action_repeat]
    if config.method == "dreamer":
        score *= {"lambda": 1.0, "n_step": 1.6, "rewards": 1.8}[config.returns]
    return np.full(len(at), float(score))


def told(home):
    """(sweep, its answers) of every sweep with questions."""
    store = open_store(home)
    return [(sweep.name, found) for sweep in store.sweeps() if (found := answers.of_sweep(store, sweep))]


def test_what_the_documents_say_is_what_the_report_says(asked):
    """The tables of README.md and of docs/results.md, row by row."""
    found = told(asked)
    rows = [f"| {a['asks']} | {a['answer']} | {estimated(a)} |" for _, given in found for a in given]
    longer = [
        f"| {name} | {a['asks']} | {a['answer']} | {estimated(a)} | {a['decides']} |"
        for name, given in found
        for a in given
    ]
    for page, expected in (("README.md", rows), ("docs/results.md", longer)):
        lines = (EXPERIMENTS.parent / page).read_text().splitlines()
        assert [line for line in lines if re.search(r"\? \| \w+", line)] == expected, page


def test_all_are_asked_after_the_runs_with_one_look(asked):
    found = [answer for _, given in told(asked) for answer in given]
    assert {(a["looks"], a["version"], a["left"]) for a in found} == {(1, 1, 0)}
    assert {name: given[0]["registered_after"] for name, given in told(asked)} == {
        "representation-tiny": 18,
        "action-repeat-tiny": 12,
        "horizon-tiny": 48,
        "returns-tiny": 9,
    }


def test_the_files_are_the_80_runs():
    cells = [cell for name in FILES for cell in plan(name).cells()]
    assert {path.stem for path in EXPERIMENTS.glob("*-tiny.yaml")} == {f"{name}-tiny" for name in FILES}
    assert len({cell.digest for cell in cells}) == 80


@pytest.mark.parametrize(("world", "outcome"), [(true, answers.CONFIRMED), (false, answers.CONTRADICTED)])
def test_questions_that_hold_are_confirmed_and_those_that_do_not_contradicted(tmp_path, world, outcome):
    """With seeds enough; every one of them can come out either way."""
    store = open_store(tmp_path)
    plans = [plan(name, seeds="6") for name in FILES]
    cells = {cell.digest: replace(cell, name=cell.digest[:12]) for one in plans for cell in one.cells()}
    fill(store, list(cells.values()), World(world, HOURS, 0.3), 3.0, 50_000)
    runs = store.runs()
    for one in plans:
        given = answers.judge(store, one, 0, dict.fromkeys(one.points(), 6), [], runs)
        assert {answer["question"]: answer["answer"] for answer in given} == {q.name: outcome for q in one.questions}


def test_numbers_are_those_of_the_scores_by_hand(asked):
    runs = Home(asked).runs("preset=tiny", "steps=100000")
    given = {(name, a["question"]): a for name, found in told(asked) for a in found}
    shown = runs[runs.task.isin(["walker_stand", "cheetah_run"]) & (runs.action_repeat == 4) & (runs.horizon == 8)]
    means = shown[shown.returns == "lambda"].groupby(["task", "objective"]).score.mean()
    by_hand = np.mean([means[t, "contrastive"] - means[t, "reward"] for t in ("walker_stand", "cheetah_run")])
    assert given["representation-tiny", "contrastive"]["estimate"] == pytest.approx(by_hand)
    shares = [0.8 * means[t, "reconstruction"] - means[t, "reward"] for t in ("walker_stand", "cheetah_run")]
    assert given["representation-tiny", "reward-alone"]["estimate"] == pytest.approx(min(shares))
    swept = runs[runs.horizon.isin([3, 5, 10, 25])].groupby(["method", "horizon", "task"]).score.mean()
    gains = (swept["dreamer"] - swept["no_value"]).groupby("horizon").mean()
    assert given["horizon-tiny", "any-horizon"]["estimate"] == pytest.approx(gains.min())
    kept = {
        method: swept[method].groupby("horizon").mean()[[3, 5]].mean()
        / swept[method].groupby("horizon").mean()[[10, 25]].mean()
        for method in ("dreamer", "no_value")
    }
    assert given["horizon-tiny", "robust"]["estimate"] == pytest.approx(kept["dreamer"] / kept["no_value"])

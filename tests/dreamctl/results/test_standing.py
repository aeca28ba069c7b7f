"""Runs that their method or their machine has ruined, and runs done twice: every reader counts them alike."""

import csv
import json

import numpy as np
import pytest

from agent.config import make
from benchmarks.synthetic import World, fill
from dreamctl.api import Home
from dreamctl.jobs.launch import submit
from dreamctl.jobs.spec import RunSpec
from dreamctl.results import claims, comparison, curves, scores, standing
from dreamctl.results.cells import Choice
from dreamctl.results.figures import paper
from dreamctl.results.outcomes import EARLY, Outcomes
from dreamctl.results.report import parts
from dreamctl.store import open_store
from dreamctl.store.models import Run
from tests.dreamctl.conftest import spec, typed

TASKS = ("cheetah_run", "hopper_hop", "walker_walk")
EVERY = 100_000


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Dreamer at 790 and PlaNet at 380 on three tasks; of six seeds of Dreamer three have diverged on each task.

    One of these had scored 60, once; two had no evaluation. A seventh seed was killed at a score of 700.
    """
    store = open_store(tmp_path_factory.mktemp("home"))

    def curve(cell, at):
        return np.full(len(at), {"dreamer": 790.0, "planet": 380.0}[cell.config.method])

    config = {method: make("paper", {"method": method}) for method in ("dreamer", "planet")}
    cells = [RunSpec(t, seed, config[m], "paper") for t in TASKS for m in config for seed in range(3)]
    fill(store, cells, World(curve, {"dreamer": 10, "planet": 17}, 0.3), 0.0, EVERY)
    for task in TASKS:
        for seed in range(3, 7):
            run = submit(store, RunSpec(task, seed, config["dreamer"], "paper"))
            attempt = store.claim(run.id, "cpu")
            score = {3: 60.0, 6: 700.0}.get(seed)
            steps = 150_000 if score is None else 250_000
            store.heartbeat(run.id, attempt, env_steps=steps, updates=1, scalars=[])
            if score is not None:
                store.record_evaluation(
                    run.id, attempt=attempt, kind="training", env_steps=EVERY, seed=seed, returns=[score]
                )
            store.finish(run.id, attempt, "failed", "because", diverged=seed < 6)
    return store


MEAN = (3 * 790 + 60) / 6  # of each task


def test_every_reader_gives_the_same_mean_with_the_runs_that_diverged(attacked):
    groups = {g.name: g for g in comparison.compare(attacked, attacked.runs(), ("method",)).groups}
    assert groups["Dreamer"].mean == pytest.approx(MEAN) and groups["PlaNet"].mean == pytest.approx(380)
    assert not groups["Dreamer"].short and len(groups["Dreamer"].runs) == 18
    asked = json.loads(typed("compare", "--by", "method", "--json", home=attacked.home).stdout)
    assert {row["group"]: row["mean"] for row in asked}["Dreamer"] == pytest.approx(MEAN)
    whole = comparison.compare(attacked, attacked.runs(), ("method",), complete=True)
    assert {g.name: g.mean for g in whole.groups}["Dreamer"] == pytest.approx(MEAN)

    evidence = claims.gather(attacked, Choice())
    assert all(np.mean([evidence.score(run) for run in seeds.values()]) == pytest.approx(MEAN)
               for cell, seeds in evidence.cells.items() if cell.method == "dreamer")  # fmt: skip
    first = next(v for v in claims.judge(evidence) if v.claim.number == 1)
    assert len(first.runs) == 18 and any(note.startswith("9 diverged runs count") for note in first.notes)
    shown = [scores for part in parts.find(attacked, Choice()) for _, scores in part.tables()]
    assert {round(np.mean(row["Dreamer"]), 6) for scores in shown for row in scores.rows.values()} == {MEAN}

    drawn = paper.draw(attacked, "figure9", Choice())
    lines = [dict(zip(drawn.header, row, strict=True)) for row in drawn.rows]
    last = {r["task"]: r for r in lines if r["group"] == "Dreamer" and r["env_steps"] == 2_000_000}
    assert {round(last[t]["mean"], 6) for t in TASKS} == {MEAN}
    assert {(last[t]["seeds"], last[t]["of_seeds"], last[t]["diverged"]) for t in TASKS} == {(6, 6, 3)}
    frame = Home(attacked.home).curves("method=dreamer").query("env_steps == 2000000")
    assert set(frame["mean"].round(6)) == {MEAN} and set(frame["seeds"]) == {6}

    drawn = paper.draw(attacked, "figure6", Choice())
    bars = [dict(zip(drawn.header, row, strict=True)) for row in drawn.rows]
    mine = [r for r in bars if r["group"] == "Dreamer" and r["task"] in TASKS]
    assert {(round(r["mean"], 6), r["status"], r["seeds"]) for r in mine} == {(MEAN, "diverged", 6)}
    assert {r["env_steps"] for r in mine} == {150_000}  # at which the first of them ended


def test_the_mean_curve_does_not_rise_when_a_seed_drops_out(attacked):
    runs = [run for run in attacked.runs(task="hopper_hop", method="dreamer") if run.seed < 6]
    points = curves.evaluations(attacked, runs)
    first = next(run for run in runs if run.seed == 3)
    assert list(points[first.id][0][:2]) == [EVERY, EVERY + 10_000] and set(points[first.id][1]) == {60.0}
    none = next(run for run in runs if run.seed == 4)
    assert points[none.id][0][0] == 10_000 and set(points[none.id][1]) == {0.0}  # its first would have come then
    curve = curves.aggregate(list(points.values()), EVERY)
    assert np.allclose(curve.mean, MEAN) and set(curve.seeds) == {6}


def test_nothing_drops_out_in_silence(attacked):
    said = typed("compare", "--by", "method", home=attacked.home).stderr
    assert "9 diverged runs count with their last evaluation, 0 without one: " in said
    assert "failed and left out, to be trained again (dreamctl retry): cheetah_run-dreamer-s6" in said
    notes = " ".join(paper.draw(attacked, "figure9", Choice()).notes)
    assert "9 diverged runs count" in notes and "failed and left out" in notes
    evidence = claims.gather(attacked, Choice())
    assert any("9 diverged runs count" in note for note in evidence.remarks(cell.key for cell in evidence.cells))
    shown = typed("show", "hopper_hop-dreamer-s4", home=attacked.home).stdout
    assert "diverged: because" in shown and "with 0.0, as it has no evaluation" in shown
    assert "diverged" in typed("ls", "--where", "seed=4", home=attacked.home).stdout
    listed = json.loads(typed("ls", "--where", "diverged=true", "--json", home=attacked.home).stdout)
    assert len(listed) == 9 and {row["status"] for row in listed} == {"failed"}


def ruined(store, returns, diverged, steps=200, **settings):
    run = submit(store, spec(**({"steps": "400"} | settings)))
    attempt = store.claim(run.id, "cpu")
    store.heartbeat(run.id, attempt, env_steps=steps, updates=1, scalars=[])
    for step, value in returns.items():
        store.record_evaluation(
            run.id, attempt=attempt, kind="training", env_steps=step, seed=0, returns=[float(value)]
        )
    store.finish(run.id, attempt, "failed", "x", diverged)
    return store.get(run.id)


def test_a_run_that_diverged_later_counts_with_what_it_had_by_then(store, evaluated):
    run, other = ruined(store, {80: 10, 160: 30}, True), evaluated({80: [5], 160: [6], 400: [7]}, seed=1)
    at = {until: scores.finals(store, [run, other], until=until) for until in (40, 100, 160, 300, None)}
    assert [at[until][run.id].score for until in (100, 160, 300, None)] == [10, 30, 30, 30]
    assert run.id not in at[40] and other.id not in at[40]  # no run had a score so early
    assert [(at[u][run.id].complete, at[u][run.id].env_steps) for u in (100, None)] == [(True, 80), (True, 200)]
    assert scores.cell(list(at[None].values())).status == "diverged"


@pytest.mark.parametrize("had", [{}, {80: 10}, {80: 10, 160: 30}])
def test_outcomes_of_a_run_that_diverged_are_those_that_it_is_carried_on_with(store, evaluated, had):
    """Evaluations at 80, 160, ..., 400: those that it had, then its last one, 0 without one."""
    run, whole = ruined(store, had, True), evaluated({step: [50] for step in range(80, 401, 80)}, seed=1)
    assert run.config["eval_every"] <= 80
    found = Outcomes(store, {"cell": [run, whole]})
    every = had | standing.carried_on(run, had, 400)
    assert max(every) == 400 and set(every.values()) == {*had.values(), max(had.values(), default=0.0)}
    assert found.of(run, "final") == max(had.values(), default=0.0) and found.of(whole, "final") == 50
    assert found.of(run, "curve") == pytest.approx(np.mean(list(every.values())))
    early = [value for step, value in every.items() if step <= EARLY * 400]
    assert found.of(run, "early") == pytest.approx(np.mean(early))
    by_then = Outcomes(store, {"cell": [run]}, steps=120).of(run, "final")  # it was still learning
    assert by_then == had.get(80)


def test_a_run_that_diverged_past_its_length_without_an_evaluation_has_none_but_nothing(store):
    run = ruined(store, {}, True)
    with store._write() as session:
        session.merge(run).env_steps = run.steps + 1
    run = store.get(run.id)
    every = standing.carried_on(run, {}, run.steps)
    assert max(every) == run.steps and set(every.values()) == {standing.NOTHING}
    assert Outcomes(store, {"cell": [run]}).sample("cell", "final") == [standing.NOTHING]


def test_an_outcome_is_forgotten_when_the_run_is_taken_on_again(store):
    run = ruined(store, {}, True)
    assert (run.status, run.diverged, run.standing) == ("failed", True, "diverged")
    store.claim(run.id, "cpu")
    assert not store.get(run.id).diverged
    run = ruined(store, {}, True, seed=1)
    assert store.requeue([run.id]) == 1 and not store.get(run.id).diverged


def test_of_a_seed_done_twice_one_counts_for_all_and_is_named(store, evaluated):
    first, second = evaluated({400: [100]}), evaluated({400: [300]})
    evaluated({400: [200]}, seed=1)
    (group,) = comparison.compare(store, store.runs(), ("method",)).groups
    assert group.scores["pendulum_swingup"] == [300, 200]
    said = f"pendulum_swingup seed 0 was trained twice: the newer run counts: {second.name}"
    assert said in typed("compare", home=store.home).stderr
    evidence = claims.gather(store, Choice())
    assert evidence.remarks([cell.key for cell in evidence.cells]) == [said]
    (seeds,) = evidence.cells.values()
    assert seeds[0].id == second.id != first.id
    drawn = typed("plot", "curves", "--out", store.home / "f", home=store.home)
    assert said in drawn.stderr
    rows = list(csv.DictReader((store.home / "f" / "curves.csv").open()))
    assert [row["mean"] for row in rows if row["env_steps"] == "400" and not row["run"]] == ["250.0"]


def test_which_of_two_runs_counts():
    def run(name, env_steps, steps=400, created=0.0, **fields):
        return Run(id=name, name=name, task="t", seed=0, env_steps=env_steps, steps=steps, created_at=created,
                   **({"status": "stopped", "diverged": False} | fields))  # fmt: skip

    def kept(*runs, wanted=400):
        (one,) = standing.of_each_seed(runs, wanted)
        return one.name, *(note.split(": ")[1] for note in standing.again([list(runs)], wanted))

    assert kept(run("a", 300), run("b", 200, created=9.0)) == ("a", "the longer run counts")
    assert kept(run("a", 800, 800, 9.0), run("b", 400)) == ("b", "that of 400 steps counts")
    assert kept(run("a", 400), run("b", 400, created=9.0)) == ("b", "the newer run counts")
    lost = run("b", 80, created=9.0, status="failed", diverged=True)
    assert kept(run("a", 400), lost) == ("b", "the newer run counts")  # not the better one
    assert kept(lost, run("c", 300, created=10.0)) == ("b", "the longer run counts")
    assert kept(run("a", 400)) == ("a",)


def test_a_row_that_names_an_endless_run_takes_no_memory():
    config = {"episode_length": 1, "eval_every": 1, "seed_episodes": 1}
    run = Run(status="failed", diverged=True, env_steps=5, steps=10**15, config=config)
    carried = standing.carried_on(run, {2: 7.0}, 10**15)
    assert 5_000 < len(carried) <= 10_001 and set(carried.values()) == {7.0} and max(carried) == 10**15
    few = standing.carried_on(run, {2: 7.0}, 9)
    assert list(few) == [3, 4, 5, 6, 7, 8, 9]

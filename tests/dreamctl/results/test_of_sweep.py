"""A sweep's questions before and after their looks, as report and MLflow have them, and their pictures."""

import csv
import math

import pytest

from benchmarks.synthetic import WORLDS, fill
from dreamctl.jobs import looks, sweeps
from dreamctl.jobs.scheduler import enroll
from dreamctl.jobs.sweeps import Request
from dreamctl.results import answers
from dreamctl.results.figures import answers as figure
from dreamctl.wording import asked, estimated

FILE = """
tasks: [walker_walk]
grid: {horizon: [5, 10]}
seeds: {looks: [2, 4]}
preset: tiny
set: {steps: 20000}
questions:
  longer:
    asks: Is a horizon of 10 better than one of 5?
    better: {horizon: 10}
    than: {horizon: 5}
    margin: 50
    floor: 1
"""


@pytest.fixture
def opened(store, tmp_path):
    """The store and the sweep, of which one of four runs has not been added."""
    (tmp_path / "mine.yaml").write_text(FILE)
    plan = sweeps.build(str(tmp_path / "mine.yaml"), Request())
    sweep = store.open_sweep(plan.name, plan.to_dict(), 3)
    fill(store, plan.cells(), WORLDS["published"], 5.0, 10_000)
    store.enroll(sweep.id, [run.id for run in store.runs()[:3]])
    return store, sweep


def test_a_question_is_open_until_its_look_and_says_what_it_waits_for(opened):
    store, sweep = opened
    (before,) = answers.of_sweep(store, sweep)
    assert (before["answer"], before["left"], before["looks"]) == (answers.OPEN, 1, 2)
    assert before["asks"] == "Is a horizon of 10 better than one of 5?" and before["registered_after"] is None
    scores = {5: [], 10: []}
    for run in store.members(sweep.id):
        scores[run.config["horizon"]].append(run.score)
    assert before["estimate"] == pytest.approx(sum(scores[10]) / len(scores[10]) - sum(scores[5]) / len(scores[5]))

    looks.begin(store, sweep)
    store.enroll(sweep.id, [run.id for run in store.runs()])
    assert answers.of_sweep(store, sweep)[0]["left"] == 0
    looks.proceed(store, sweep, answers.judge)
    (after,) = answers.of_sweep(store, sweep)
    (stored,) = store.looks(sweep.id)[0].answers
    assert {key: after[key] for key in stored} == stored | {"look": after["look"]}
    assert (after["registered_after"], after["version"]) == (4, 1)
    assert after["left"] == (4 if after["answer"] == answers.OPEN else 0)  # two more seeds of two cells

    worded = sweep.spec["questions"]["longer"] | {"asks": "Is it?"}
    for question, judged in ((worded, True), (worded | {"margin": "40"}, False)):
        again = store.open_sweep(sweep.name, sweep.spec | {"questions": {"longer": question}}, 3)
        (now,) = answers.of_sweep(store, again)
        assert now["asks"] == "Is it?" and ("counted" in now) == judged
        assert judged or (now["answer"] == answers.OPEN)


def agreed(store, sweep):
    """What report and status say alike of a sweep's questions: answer, look, runs left, version."""
    said = []
    for full, brief in zip(answers.of_sweep(store, sweep), looks.state(store, sweep), strict=True):
        same = ["question", "asks", "answer", "look", "looks", "left", "version", "unit"]
        same += ["estimate", "low", "high"] if "counted" in full else []  # else what the runs say so far: the report's
        assert {key: full[key] for key in same} == {key: brief[key] for key in same}
        assert brief["registered_after"] == full["registered_after"]
        assert full["left"] or not brief["waits_for"]
        said.append((full["answer"], full["look"], full["left"], full["version"]))
    return said


def test_report_and_status_say_the_same_at_every_stage(store, tmp_path):
    def asks(at, margin=50):
        more = "  far:\n    {asks: 'Is 20 better?', better: {horizon: 20}, than: {horizon: 5}}\n"
        text = FILE.replace("[5, 10]", "[5, 10, 20]").replace("[2, 4]", at).replace("margin: 50", f"margin: {margin}")
        (tmp_path / "mine.yaml").write_text(text + more)
        plan = sweeps.build(str(tmp_path / "mine.yaml"), Request())
        return enroll(store, plan.name, plan.cells(), plan.to_dict(), 3)

    def play(*ends):
        """End the runs that wait, the first ones as told; 20 is far better than the others, which differ little."""
        ends = iter(ends)
        while run := store.claim_next(sweep.id, "cpu"):
            score = {5: 50.0, 10: 80.0, 20: 950.0}[run.config["horizon"]] + 10 * (-1) ** run.seed
            how = next(ends, "finished")
            if how != "failed":
                store.record_evaluation(
                    run.id, kind="final", env_steps=run.steps, seed=0, returns=[score], attempt=run.attempt
                )
            store.finish(run.id, run.attempt, how, "OSError: no space left" if how == "failed" else None)
        looks.proceed(store, sweep, answers.judge)
        return agreed(store, sweep)

    sweep = asks("[4, 6]")
    assert agreed(store, sweep) == [("open", 1, 8, 1), ("open", 1, 8, 1)]
    assert play("failed") == [("open", 1, 1, 1), ("open", 1, 1, 1)]  # horizon 5 is the first cell, in both
    store.requeue([run.id for run in store.runs() if run.status == "failed"])
    assert play() == [("open", 2, 4, 1), ("confirmed", 1, 0, 1)]
    assert play() == [("undecided", 2, 0, 1), ("confirmed", 1, 0, 1)]
    sweep = asks("[4, 6, 8]")  # takes up what was undecided
    assert agreed(store, sweep)[0][:2] == ("open", 3)
    assert play()[1] == ("confirmed", 1, 0, 1)
    sweep = asks("[4]")  # fewer change nothing
    assert agreed(store, sweep)[0][0] in ("undecided", "too small to matter")
    sweep = asks("[4, 6, 8]", margin=600)  # another question
    assert agreed(store, sweep)[0][0] == "open"
    assert play()[0][0] == "too small to matter" and agreed(store, sweep)[0][3] > 1


def test_a_sweep_without_questions_has_no_answers(store):
    assert answers.of_sweep(store, store.open_sweep("plain", {}, 3)) == []


def number(name, estimate, low, high, unit="points", floored=()):
    return dict(name=name, estimate=estimate, low=low, high=high, unit=unit, floored=floored)


def test_a_picture_has_every_number_those_of_one_unit_under_each_other(tmp_path):
    numbers = [
        number("a - b", 10.0, -5.0, 25.0),
        number("c - d", 500.0, None, None, floored=("walker_walk",)),
        number("missing", None, None, None),
        number("kept", 1.4, 0.9, 20.0, "ratio"),
    ]
    picture, table = figure.draw({"numbers": numbers, "decides": "a - b"}, {"ratio": 1.2}, tmp_path / "one")
    assert picture.stat().st_size > 5_000
    rows = list(csv.DictReader(table.open()))
    assert [row["contrast"] for row in rows] == ["a - b", "c - d", "missing", "kept"]
    assert [row["unit"] for row in rows] == ["points"] * 3 + ["ratio"]
    assert math.isclose(float(rows[3]["high"]), 20.0) and rows[1]["floored"] == "walker_walk"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"estimate": 147.6, "low": 83.4, "high": 212.1, "unit": "points"}, "148 points [83, 212]"),
        ({"estimate": 1.43, "low": None, "high": 2, "unit": "ratio"}, "1.43 times [-∞, 2.00]"),
        ({"estimate": 3, "low": 2, "high": 5, "unit": "count"}, "3 [2, 5]"),
        ({"estimate": None, "unit": "points"}, ""),
    ],
)
def test_numbers_in_words(answer, text):
    assert estimated(answer) == text


def test_when_a_question_was_asked():
    assert asked(1, 0) == "registered before the first run" and asked(1, 1) == "asked after 1 run"
    assert asked(2, 0) == "changed before the first run" and asked(3, 80) == "changed after 80 runs"

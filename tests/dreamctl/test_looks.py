"""Run until answered: what is trained when, whoever is killed, and what a sweep says of its questions."""

import json
import math
import shutil
import statistics
import threading
from dataclasses import replace

import pytest
from sqlalchemy import event, update

from dreamctl.cli import board
from dreamctl.errors import BadRecord
from dreamctl.jobs import looks, news, questions
from dreamctl.jobs.cluster import Cluster
from dreamctl.jobs.questions import RULE
from dreamctl.jobs.scheduler import Scheduler, enroll
from dreamctl.jobs.sweeps import Plan, Sweep
from dreamctl.results import answers
from dreamctl.store import Run, open_store, pages
from dreamctl.store.columns import Answers
from dreamctl.store.models import Look, Registration
from dreamctl.store.models import Sweep as SweepRow
from tests.dreamctl.conftest import QUICK, spec, typed

SETTINGS = dict(item.split("=") for item in QUICK)
SHORT = SETTINGS | dict(episode_length=20, steps=60, updates=1, eval_every=60, checkpoint_every=60)
FIRST, SECOND = "pendulum_swingup, horizon=4", "pendulum_swingup, horizon=5"
THIRD = "pendulum_swingup, horizon=6"
ASKED = {  # 5 over 4 is answered at the first look, 6 over 4 never
    "five": {"asks": "Is 5 better?", "better": {"horizon": "5"}, "than": {"horizon": "4"}, "margin": "100"},
    "six": {"asks": "Is 6 better?", "better": {"horizon": "6"}, "than": {"horizon": "4"}, "margin": "100"},
}


def asks(looks_=(2, 3, 4), asked=ASKED, seeds=4):
    """A plan with three cells and questions about them."""
    part = Sweep(("pendulum_swingup",), {"horizon": ("4", "5", "6")}, SETTINGS, tuple(range(seeds)), "smoke")
    return Plan("asks", (part,), None, looks_, tuple(questions.parse(name, each) for name, each in asked.items()))


def start(store, plan, **options):
    return enroll(store, plan.name, plan.cells(), plan.to_dict(), 3, **options)


def judge(store, plan, number, seeds, earlier, runs):
    """A mean above the other by a question's margin is better, one below it worse."""
    kept = {row["question"]: dict(row) for row in earlier}
    scores = {}
    for key, (_, one) in plan.points().items():
        digests = {replace(one, seed=seed).digest for seed in plan.seeds[: seeds[key]]}
        found = [run.score or 0.0 for run in runs if run.digest in digests]
        assert len(found) == seeds[key]
        scores[key] = statistics.fmean(found)
    last = number + 1 >= len(plan.looks or (0,))
    rows = []
    for question in plan.questions:
        fields, margin = question.parts[0].fields, question.parts[0].margin
        better, than = (f"pendulum_swingup, horizon={fields[side]['horizon']}" for side in ("better", "than"))
        value = scores[better] - scores[than]
        said = "confirmed" if value >= margin else "contradicted" if value <= -margin else None
        new = {"question": question.name, "estimate": value, "low": value - 1, "high": value + 1}
        rows.append(kept.get(question.name) or new | {"answer": said or ("undecided" if last else "open")})
    return rows


def end(store, run, status="finished", reason=None):
    """End a claimed run with the score of its cell."""
    if status == "finished":
        points = {4: 100, 5: 300, 6: 110}[run.config["horizon"]] + run.seed
        returns = [float(points)]
        store.record_evaluation(run.id, kind="final", env_steps=240, seed=0, returns=returns, attempt=run.attempt)
    store.finish(run.id, run.attempt, status, reason)


def play(store, sweep):
    """End all runs that wait."""
    while run := store.claim_next(sweep.id, "cpu"):
        end(store, run)


def trained(store):
    """{cell: seeds of its runs}, each run finished."""
    found = {}
    for run in store.runs():
        assert (run.status, run.attempt) == ("finished", 1)
        found.setdefault(f"{run.task}, horizon={run.config['horizon']}", []).append(run.seed)
    return {key: sorted(seeds) for key, seeds in found.items()}


WANTED = {FIRST: [0, 1, 2, 3], SECOND: [0, 1], THIRD: [0, 1, 2, 3]}


def told(store, sweep):
    """The looks, without their times."""
    return [(look.number, look.seeds, look.version, look.answers) for look in store.looks(sweep.id)]


def test_open_questions_get_the_next_seeds_and_answered_ones_do_not(store):
    plan = asks()
    sweep = start(store, plan)
    (registered,) = store.registrations(sweep.id)
    assert (registered.version, registered.runs, registered.content) == (1, 0, {**sweep.spec, "rule": RULE})
    assert registered.created_at <= min(run.created_at for run in store.runs())
    told_of = news.Answers(store, sweep)
    assert looks.underway(store, plan) is None  # no look has been judged
    assert len(store.runs()) == 6 and told_of.next() == "look 1 of 3: 2 of 2 questions open, 6 more runs"
    assert looks.proceed(store, sweep, judge) and not store.looks(sweep.id)  # runs wait
    play(store, sweep)
    assert looks.proceed(store, sweep, judge)
    assert told_of.new() == ["five: confirmed after 2 seeds, 200 points [199, 201]"] and told_of.new() == []
    assert told_of.next() == "look 2 of 3: 1 of 2 questions open, 2 more runs"
    underway = looks.underway(store, plan)
    assert underway.number == 1 and underway.wanted == {FIRST: 3, SECOND: 2, THIRD: 3}
    assert len(underway.cells()) == 8 and underway.answers.keys() == {"five", "six"}
    five, six = looks.state(store, sweep)
    assert (five["answer"], five["look"], five["left"]) == ("confirmed", 1, 0)
    assert (six["answer"], six["look"], six["looks"], six["left"]) == ("open", 2, 3, 2)
    assert board.question(six) == "six: open, look 2 of 3, 2 runs left; so far 10 points [9, 11]"
    play(store, sweep)
    assert looks.proceed(store, sweep, judge)
    play(store, sweep)
    assert not looks.proceed(store, sweep, judge) and not looks.proceed(store, sweep, judge)
    assert told_of.new() == ["six: undecided after 4 seeds, 10 points [9, 11]"] and told_of.next() is None
    assert trained(store) == WANTED
    assert [(number, seeds) for number, seeds, _, _ in told(store, sweep)] == [(0, 2), (1, 3), (2, 4)]
    assert [row["look"] for row in store.looks(sweep.id)[-1].answers] == [0, 2]
    start(store, plan)  # the same again changes nothing
    assert trained(store) == WANTED and len(store.registrations(sweep.id)) == 1
    assert not looks.proceed(store, sweep, judge) and len(store.looks(sweep.id)) == 3


class Killed(BaseException):
    """The process ends here."""


def test_a_kill_between_any_two_statements_is_repaired_on_sqlite(tmp_path, monkeypatch):
    """Of the step from one look to the next; the process dies before the statement of each number."""
    monkeypatch.delenv("DREAMCTL_DB", raising=False)
    store = open_store(tmp_path / "before")
    sweep = start(store, asks())
    play(store, sweep)
    store._engine.dispose()

    def copy(name):
        shutil.copytree(tmp_path / "before", tmp_path / name)
        return open_store(tmp_path / name)

    def statements(store, last=None):
        """How many statements the step takes, or None if it is killed before the last."""
        count = 0

        def before(*_):
            nonlocal count
            count += 1
            if count == last:
                raise Killed

        event.listen(store._engine, "before_cursor_execute", before)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "reap", lambda wait=False: [])
            try:
                looks.proceed(store, sweep, judge)
            except Killed:
                return None
            finally:
                event.remove(store._engine, "before_cursor_execute", before)
        return count

    whole = copy("whole")
    total = statements(whole)
    expected = told(whole, sweep), sorted(whole.states(sweep.id), key=lambda state: state.status)[2:]
    for last in range(1, total + 1):
        home = f"killed-{last}"
        killed = copy(home)
        assert statements(killed, last) is None
        killed._engine.dispose()
        again = open_store(tmp_path / home)
        assert looks.proceed(again, sweep, judge)
        assert told(again, sweep) == expected[0]
        assert [run.seed for run in again.members(sweep.id, status="queued")] == [2, 2] and len(again.runs()) == 8
        again._engine.dispose()
        shutil.rmtree(tmp_path / home)
    assert total > 20


def at_once(*actions):
    """Run actions in threads that begin together; raises what one of them raises."""
    gate, errors = threading.Barrier(len(actions)), []

    def run(action):
        gate.wait()
        try:
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_schedulers_that_come_at_once_add_each_run_once(store):
    """Each with its own connection and its own lock file, as processes have them."""
    stores = [open_store(store.home) for _ in range(4)]
    at_once(*(lambda own=own: start(own, asks()) for own in stores))
    assert len(store.runs()) == 6
    sweep = store.find_sweep("asks")
    for _ in range(3):
        play(store, sweep)
        at_once(*(lambda own=own: looks.proceed(own, sweep, judge) for own in stores))
    assert trained(store) == WANTED and len(store.looks(sweep.id)) == 3 and len(store.registrations(sweep.id)) == 1


def test_runs_created_at_once_get_names_of_their_own(store):
    stores = [open_store(store.home) for _ in range(4)]
    fields = dict(task="pendulum_swingup", seed=0, config=spec().config.to_dict(), digest="0", preset="smoke")
    at_once(*(lambda own=own: [own.create_run(**fields) for _ in range(5)] for own in stores))
    assert len({run.name for run in store.runs()}) == 20


def test_a_look_waits_for_runs_that_the_machine_has_ruined_and_takes_those_that_diverged(store):
    plan = asks()
    sweep = start(store, plan)
    runs = [store.claim_next(sweep.id, "cpu") for _ in range(6)]
    for run in runs[3:]:
        end(store, run)
    end(store, runs[0], "failed", "OSError: no space left")
    end(store, runs[1], "stopped")
    end(store, runs[2], "failed", "FloatingPointError: loss")
    with store._write() as session:
        session.merge(store.get(runs[2].id)).diverged = True
    assert not looks.proceed(store, sweep, judge) and not store.looks(sweep.id)
    five, six = looks.state(store, sweep)
    assert (five["waits_for"], five["left"]) == ("1 failed run and 1 stopped run", 2)
    assert (six["waits_for"], six["left"]) == ("1 failed run", 1)
    assert board.question(six) == "six: open, look 1 of 3, waits for 1 failed run"
    start(store, plan, retry_failed=True)
    assert store.counts(sweep.id) == {"queued": 2, "finished": 3, "diverged": 1}  # what diverged is an outcome
    play(store, sweep)
    assert looks.proceed(store, sweep, judge) and len(store.looks(sweep.id)) == 1


def answers_of(store, sweep):
    return {row["question"]: (row["answer"], row["version"]) for row in store.looks(sweep.id)[-1].answers}


def finish(store, plan):
    """The sweep of a plan to its end."""
    sweep = start(store, plan)
    play(store, sweep)
    while looks.proceed(store, sweep, judge):
        play(store, sweep)
    return sweep


def test_questions_that_change_are_judged_anew_and_the_others_keep_their_answers(store):
    sweep = finish(store, asks())
    before = told(store, sweep)
    narrower = ASKED | {"six": ASKED["six"] | {"margin": "5"}}
    finish(store, asks(asked=narrower))  # no look is left: judged on the seeds of the last
    assert told(store, sweep)[:3] == before and len(before) == 3
    assert answers_of(store, sweep) == {"five": ("confirmed", 1), "six": ("confirmed", 2)}
    first, second = store.registrations(sweep.id)
    assert (first.runs, second.runs) == (0, 10) and trained(store) == WANTED
    assert [asked["registered_after"] for asked in looks.state(store, sweep)] == [0, 10]
    new = narrower | {"new": {"asks": "5 over 6?", "better": {"horizon": "5"}, "than": {"horizon": "6"}, "margin": "1"}}
    finish(store, asks(asked=new))  # its cells get the seeds of the last look
    assert answers_of(store, sweep)["new"] == ("confirmed", 3) and trained(store)[SECOND] == [0, 1, 2, 3]


@pytest.mark.parametrize("change", ["settings", "seeds"])
def test_an_answer_about_other_runs_is_no_answer(store, change):
    """The same cells by name, but a file edited to train longer, or with other seeds."""
    sweep = finish(store, asks())
    (part,) = asks().parts
    other = {"settings": {**part.settings, "updates": "2"}} if change == "settings" else {"seeds": (7, 8, 9, 10)}
    plan = replace(asks(), parts=(replace(part, **other),))
    sweep = start(store, plan)
    for state in looks.state(store, sweep), answers.of_sweep(store, sweep):
        assert [(one["answer"], one["registered_after"]) for one in state] == [("open", 10)] * 2
    finish(store, plan)
    assert answers_of(store, sweep) == {"five": ("confirmed", 2), "six": ("undecided", 2)}
    finish(store, asks())  # and back: judged anew, and said to be
    assert {version for _, version in answers_of(store, sweep).values()} == {3}


def test_a_change_after_runs_that_were_removed_since_is_told(store):
    sweep = finish(store, asks())
    for run in store.runs():
        store.remove(run.id)
    start(store, asks(asked=ASKED | {"six": ASKED["six"] | {"margin": "5"}}))
    assert [version.runs for version in store.registrations(sweep.id)] == [0, 10]


def test_questions_that_come_after_their_runs_say_so_in_status(store):
    """Under another name they are a version 1: asked after the runs, not changed."""
    finish(store, asks())
    renamed = start(store, replace(asks(), name="anew"))
    assert [board.question(one).split(",")[0] for one in looks.state(store, renamed)] == [
        f"{name}: open (asked after 10 runs)" for name in ASKED
    ]
    first = looks.state(store, store.find_sweep("asks"))
    assert [board.question(one).split(",")[0] for one in first] == ["five: confirmed", "six: undecided"]


def test_status_and_report_say_the_same_of_looks_that_were_added_or_left_out(store):
    finish(store, asks(looks_=(2, 3), seeds=3))
    for later in ((2, 3, 5), (2,)):
        sweep = start(store, asks(looks_=later, seeds=later[-1]))
        told = looks.state(store, sweep), answers.of_sweep(store, sweep)
        assert [one["answer"] for one in told[0]] == [one["answer"] for one in told[1]]


def test_an_answer_names_what_diverged_and_tells_of_mixed_code(store):
    sweep = start(store, asks(looks_=(2,), seeds=2))
    first = store.claim_next(sweep.id, "cpu")
    store.finish(first.id, first.attempt, "failed", "FloatingPointError: loss", diverged=True)
    play(store, sweep)
    with store._write() as session:
        session.get(Run, store.members(sweep.id)[3].id).code = "0" * 16
        session.get(Run, first.id).code = "1" * 16
    looks.proceed(store, sweep, answers.judge)
    (row, _) = answers.of_sweep(store, sweep)
    assert row["notes"][0].startswith(f"1 diverged run counts with its last evaluation, 0 without one: {first.name}")
    assert "runs of 2 codes (00000000, 11111111)" in row["notes"][1]


def test_the_page_of_a_sweep_says_that_its_questions_have_changed_since(store):
    sweep = finish(store, asks())
    sweep = start(store, asks(asked=ASKED | {"six": ASKED["six"] | {"margin": "5"}}))
    text = pages.description_of_sweep(sweep, {}, {}, store.looks(sweep.id), store.registrations(sweep.id))
    assert text.count("registered before the first run; version 1 of 2") == 2


def test_a_look_that_is_missing_in_the_middle_stops_nothing(store):
    """As somebody else's database may have it."""
    sweep = start(store, asks())
    play(store, sweep)
    looks.proceed(store, sweep, judge)
    with store._write() as session:
        session.execute(update(Look).values(number=7))
        session.execute(update(Registration).values(version=5))
    start(store, asks(asked=ASKED | {"six": ASKED["six"] | {"margin": "5"}}))
    play(store, sweep)
    looks.proceed(store, sweep, judge)
    assert [look.number for look in store.looks(sweep.id)] == [7, 8]
    assert [one.version for one in store.registrations(sweep.id)] == [5, 6]


def test_more_looks_take_up_what_was_undecided(store):
    sweep = finish(store, asks(looks_=(2, 3), seeds=3))
    assert answers_of(store, sweep) == {"five": ("confirmed", 1), "six": ("undecided", 1)}
    finish(store, asks(looks_=(2, 3, 5), seeds=5))
    assert answers_of(store, sweep) == {"five": ("confirmed", 1), "six": ("undecided", 2)}
    assert trained(store) == {FIRST: [0, 1, 2, 3, 4], SECOND: [0, 1], THIRD: [0, 1, 2, 3, 4]}
    finish(store, asks(looks_=(2,), seeds=2))  # fewer change nothing
    assert len(store.looks(sweep.id)) == 3 and looks.state(store, sweep)[1]["answer"] == "undecided"


def test_without_looks_there_is_one_at_the_end(store):
    sweep = finish(store, asks(looks_=(), seeds=2))
    assert len(store.looks(sweep.id)) == 1 and len(store.runs()) == 6
    assert [(asked["look"], asked["looks"]) for asked in looks.state(store, sweep)] == [(1, 1)] * 2


class Here:
    """An engine whose jobs claim and end a run when they are submitted."""

    def __init__(self, store, sweep):
        self.store, self.sweep = store, sweep

    def submit(self, count):
        for _ in range(count):
            end(self.store, self.store.claim_next(self.sweep.id, "cpu", "here:1"))

    def jobs(self):
        return set()

    def failure(self, job):
        return None

    def cancel(self, jobs, kill=False):
        pass


def test_a_cluster_goes_from_look_to_look_and_stops_when_told(store):
    sweep = start(store, asks())
    proceed = lambda: looks.proceed(store, sweep, judge)  # noqa: E731
    cluster = Cluster(store, sweep, Here(store, sweep), proceed)
    cluster.step()
    assert not cluster.done
    store.pause(sweep.id, True)
    for _ in range(3):  # a look is judged, but nothing starts
        cluster.step()
    assert len(store.looks(sweep.id)) == 1 and store.counts(sweep.id) == {"finished": 6, "queued": 2}
    store.pause(sweep.id, False)
    cluster.step()
    store.stop_sweep(sweep.id)
    cluster.step()
    assert cluster.done and len(store.looks(sweep.id)) == 1 and not proceed()
    start(store, asks())
    scheduler = Scheduler(store, sweep, [], proceed)
    assert not scheduler.done  # it has not looked yet
    scheduler.step()
    assert not scheduler.done and len(store.looks(sweep.id)) == 2
    play(store, sweep)
    scheduler.step()
    assert scheduler.done and trained(store) == WANTED


CONTRAST = dict(name="", group="", unit="points", floored=[], missing=[], estimate=None, low=None, high=None)
STRANGE = [
    {"counted": {FIRST: "2"}},
    {"counted": {FIRST: -1}},
    {"question": 1},
    {"estimate": "\x1b"},
    {"estimate": math.nan},
    {"low": 10**400},
    {"asked": None},
    {"look": 10**30},
    {"seeds": "4"},
    {"cells": [{}]},
    {"notes": "a"},
    {"numbers": [CONTRAST | {"unit": "hours"}]},
    {"numbers": [CONTRAST | {"floored": None}]},
    {"numbers": [{}]},
]


@pytest.mark.parametrize("change", STRANGE)
def test_answers_of_strangers_are_refused(change):
    row = {"question": "five", "answer": "open", "look": 0, "version": 1, "asked": "0", "counted": {}}
    row |= {"numbers": [CONTRAST], "cells": [FIRST], "notes": [], "seeds": 2}
    assert Answers().process_result_value([row], None) == [row]
    with pytest.raises(BadRecord, match="list of answers"):
        Answers().process_result_value([row | change], None)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("spec", {"looks": [4]}),  # more seeds than there are
        ("spec", {"looks": [3, 2]}),
        ("spec", {"looks": [[]]}),
        ("spec", {"parts": []}),
        ("spec", {"questions": {"five": 1}}),
        ("content", {"questions": 1}),
        ("content", {"questions": {"five": 1}}),
        ("content", {"parts": []}),
    ],
)
def test_a_damaged_sweep_is_told_in_one_line_and_the_others_are_shown(store, column, value):
    sweep = finish(store, asks(looks_=(2,), seeds=2))
    start(store, replace(asks(), name="sound"))
    with store._write() as session:
        row = session.get(*((SweepRow, sweep.id) if column == "spec" else (Registration, (sweep.id, 1))))
        setattr(row, column, getattr(row, column) | value)
    one, every = (typed("status", *name, "--json", home=store.home) for name in (["asks"], []))
    assert one.returncode == 2 and len(one.stderr.splitlines()) == 1
    assert [state["name"] for state in json.loads(every.stdout)] == ["sound"]
    assert every.returncode == 0 and every.stderr.count("asks cannot be shown") == 1
    typed("report", home=store.home)  # ends with a line, not with an exception
    assert "sound" in typed("status", home=store.home).stdout


def test_the_command_trains_until_its_questions_are_answered(tmp_path):
    """With real training, and judged by the rule that users get."""
    (tmp_path / "mine.yaml").write_text(
        json.dumps(
            {
                "tasks": ["pendulum_swingup"],
                "preset": "smoke",
                "set": SHORT,
                "grid": {"horizon": [4, 5]},
                "questions": {"longer": {"asks": "?", "better": {"horizon": 5}, "than": {"horizon": 4}, "margin": 5}},
            }
        )
    )
    note = tmp_path / "note"
    note.write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/told\n')
    note.chmod(0o755)
    command = ("sweep", tmp_path / "mine.yaml", "--looks", "2,3", "--inline", "--notify", note)
    done = typed(*command, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert "look 1 of 2: 1 of 1 question open, 4 more runs" in done.stderr
    store = open_store(tmp_path / "home")
    (sweep,) = store.sweeps()
    last = store.looks(sweep.id)[-1].answers[0]
    assert f"longer: {last['answer']} after" in done.stderr and f"longer: {last['answer']}, look" in done.stdout
    assert len(store.runs()) == 4 + 2 * last["look"]
    (state,) = json.loads(typed("status", "--json", home=tmp_path / "home").stdout)
    assert [asked["answer"] for asked in state["questions"]] == [last["answer"]]
    assert f"longer: {last['answer']}" in typed("status", home=tmp_path / "home").stdout

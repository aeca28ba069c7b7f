"""What runs say of questions: each of the answers, floors, runs that are missing; against stores made for it."""

import shutil

import numpy as np
import pytest

from benchmarks.synthetic import World, fill
from dreamctl.jobs.questions import parse
from dreamctl.jobs.sweeps import Plan, Sweep
from dreamctl.results import answers, sequential
from dreamctl.results.answers import CONFIRMED, CONTRADICTED, OPEN, SMALL, UNDECIDED
from dreamctl.store import open_store

HOURS = {"dreamer": 10.0, "no_value": 10.0, "planet": 20.0}
PAIR = {"better": {"method": "dreamer"}, "than": {"method": "planet"}, "margin": 50}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The folder of an empty store, to copy: making one takes longer than a test."""
    return open_store(tmp_path_factory.mktemp("empty") / "home").home


@pytest.fixture
def judged(tmp_path, empty):
    """A function that stores runs whose cells have these means, {(method, horizon): points} or a function of a spec,
    and judges questions, {name: fields}."""

    def judge(means, questions, seeds=8, noise=20.0, looks=(), number=0, drop=(), tasks=("walker_walk",)):
        grid = {"method": ("dreamer", "no_value", "planet"), "horizon": ("5", "20")}
        asked = tuple(parse(name, {"asks": "?", **fields}) for name, fields in questions.items())
        plan = Plan("p", (Sweep(tasks, grid, {"steps": "20000"}, tuple(range(seeds)), "tiny"),), None, looks, asked)

        def curve(cell, at):
            key = (cell.config.method, cell.config.horizon)
            return np.full(len(at), float(means(cell) if callable(means) else means.get(key, means.get(key[0], 5.0))))

        home = tmp_path / f"home{len(list(tmp_path.iterdir()))}"
        shutil.copytree(empty, home)
        store = open_store(home)
        cells = [replaced for replaced in _runs(plan, seeds) if (replaced.config.method, replaced.seed) not in drop]
        fill(store, cells, World(curve, HOURS, 0.3), noise)
        counts = dict.fromkeys(plan.points(), seeds)
        found = answers.judge(store, plan, number, counts, [], store.runs())
        return {answer["question"]: answer for answer in found}

    return judge


def _runs(plan, seeds):
    return plan.cells(dict.fromkeys(plan.points(), seeds))


GAIN = {"dreamer": 800, "no_value": 500, "planet": 500}
LIKE = {"dreamer": 502, "no_value": 500, "planet": 500}


def test_each_of_the_answers(judged):
    assert judged(GAIN, {"q": PAIR})["q"]["answer"] == CONFIRMED
    swapped = judged(GAIN, {"q": PAIR | {"better": {"method": "planet"}, "than": {"method": "dreamer"}}})["q"]
    assert swapped["answer"] == CONTRADICTED and swapped["high"] < 0
    small = judged(LIKE, {"q": PAIR}, seeds=20, noise=10)["q"]
    assert small["answer"] == SMALL and -50 < small["low"] < small["high"] < 50
    unsure = {"dreamer": 540, "planet": 500}
    assert judged(unsure, {"q": PAIR}, seeds=2, noise=60)["q"]["answer"] == UNDECIDED
    assert judged(unsure, {"q": PAIR}, seeds=2, noise=60, looks=(2, 4))["q"]["answer"] == OPEN


def test_an_answer_says_what_decides_and_from_how_many_seeds(judged):
    answer = judged(GAIN, {"q": PAIR | {"than": "others"}})["q"]
    assert answer["decides"].startswith("dreamer - ") and answer["seeds"] == 8 and len(answer["cells"]) == 6
    assert answer["low"] < answer["estimate"] < answer["high"] and abs(answer["estimate"] - 300) < 30
    assert [number["name"] for number in answer["numbers"]] == ["dreamer - no_value", "dreamer - planet"]


def test_the_contrast_that_is_small_decides_and_not_the_weakest(judged):
    """No_value is as good; PlaNet seems better, and nothing is sure of it."""

    def means(cell):
        if cell.config.method == "planet":
            return 500 + 400 * (cell.seed % 2)
        return 600

    answer = judged(means, {"q": PAIR | {"than": "others"}}, seeds=20, noise=10)["q"]
    assert answer["answer"] == SMALL and answer["decides"] == "dreamer - no_value"


def test_at_any_horizon_is_no_average(judged):
    means = {("dreamer", 5): 300, ("dreamer", 20): 900, "planet": 400}
    found = judged(means, {"mean": PAIR, "each": PAIR | {"at_each": "horizon"}})
    assert found["mean"]["answer"] == CONFIRMED
    assert found["each"]["answer"] == CONTRADICTED and found["each"]["decides"] == "horizon 5, dreamer - planet"


def test_where_nothing_learns_nothing_is_confirmed_or_contradicted(judged):
    share = PAIR | {"than": {"method": "planet"}, "share": "80%"}
    questions = {"better": PAIR, "share": share, "ratio": PAIR | {"scale": "ratio", "margin": "10%"}}
    for answer in judged({"dreamer": 5, "planet": 5}, questions, seeds=20, noise=0.1).values():
        assert answer["answer"] == UNDECIDED and all(number["floored"] for number in answer["numbers"])


def test_alternatives_at_the_floor_contradict_nothing(judged):
    """Dreamer scores 650 at horizon 5 and 830 at 20; the others 40 anywhere, so that theirs varies by nothing."""
    means = {("dreamer", 5): 650, ("dreamer", 20): 830, "no_value": 40, "planet": 40}
    steadier = {
        "better": {"method": "dreamer"}, "than": "others", "more_at": {"horizon": 5}, "than_at": {"horizon": 20},
    }  # fmt: skip
    answer = judged(means, {"q": steadier}, seeds=12)["q"]
    assert answer["answer"] == UNDECIDED
    assert judged(means, {"q": PAIR})["q"]["answer"] == CONFIRMED  # but who learns is better than who does not


def test_a_floor_of_the_users_own(judged):
    means = {"dreamer": 180, "planet": 30}
    assert judged(means, {"q": PAIR})["q"]["answer"] == CONFIRMED
    assert judged(means, {"q": PAIR | {"floor": 300}})["q"]["answer"] == UNDECIDED
    by_task = {"q": PAIR | {"floor": {"hopper_hop": 300}}}
    of_task = judged(means, by_task, tasks=("walker_walk", "hopper_hop"))["q"]
    assert [number["floored"] for number in of_task["numbers"]] == [("hopper_hop, 5", "hopper_hop, 20")]


def test_a_ratio_of_nothing_is_no_answer(judged):
    """All scores are 0, and so is the floor."""
    questions = {
        "pair": PAIR,
        "number": PAIR | {"than": 500},
        "near": {"near": {"of": {"method": "planet"}, "is": 3}, "within": 2},
    }
    ratios = {name: fields | {"scale": "ratio", "floor": 0} for name, fields in questions.items()}
    for fields in ratios.values():
        fields.pop("margin", None)
    found = judged(lambda cell: -1e6, ratios, seeds=4, noise=0.0)
    assert {answer["answer"] for answer in found.values()} == {UNDECIDED}


def test_a_ratio_of_a_few_seeds_has_no_bounds(judged):
    """Its interval on the scale of logarithms is thousands wide, which no number can hold as a factor."""
    ratio = {"better": {"method": "dreamer"}, "than": {"method": "planet"}, "scale": "ratio", "floor": 0.1}
    many = {f"q{n}": ratio for n in range(40)}
    found = judged({"dreamer": 300, "planet": 1}, many, seeds=2, noise=0.1)
    assert all(answer["high"] is None and answer["answer"] == UNDECIDED for answer in found.values())


def test_a_cell_without_runs_is_missing_and_leaves_a_question_open(judged):
    gone = {("planet", seed) for seed in range(8)}
    answer = judged(GAIN, {"q": PAIR}, drop=gone)["q"]
    assert answer["answer"] == UNDECIDED and answer["seeds"] == 0 and answer["estimate"] is None
    assert all("method=planet" in cell for cell in answer["numbers"][0]["missing"]) and answer["numbers"][0]["missing"]
    one_left = judged(GAIN, {"q": PAIR}, drop=gone - {("planet", 0)})["q"]
    assert one_left["answer"] == UNDECIDED and one_left["seeds"] == 1 and one_left["high"] is None


def test_a_group_that_is_part_of_the_other_has_no_more_certainty(judged):
    """Dreamer less all methods is two thirds of Dreamer less the other two: as sure, and no surer."""
    whole = {"better": {"method": "dreamer"}, "than": {"task": ["walker_walk"]}}
    rest = {
        "sum": [
            {"times": 2 / 3, "of": {"method": "dreamer"}},
            {"times": -2 / 3, "of": {"method": ["no_value", "planet"]}},
        ]
    }
    found = judged({"dreamer": 700, "no_value": 600, "planet": 500}, {"whole": whole, "rest": rest})
    for key in ("estimate", "low", "high"):
        assert found["whole"][key] == pytest.approx(found["rest"][key], rel=1e-6), key


def test_an_answer_is_carried_over_and_leaves_its_share_to_the_others(judged):
    hard = {"better": {"method": "dreamer"}, "than": {"method": "no_value"}}
    beside = judged({"dreamer": 505, "no_value": 500, "planet": 100}, {"easy": PAIR, "hard": hard})
    assert (beside["easy"]["answer"], beside["easy"]["level"]) == (CONFIRMED, pytest.approx(sequential.ALPHA / 2))
    assert (beside["hard"]["answer"], beside["hard"]["level"]) == (UNDECIDED, pytest.approx(sequential.ALPHA))
    both = judged({"dreamer": 502, "no_value": 500, "planet": 501}, {"a": PAIR, "b": hard}, noise=90, seeds=3)
    assert [answer["level"] for answer in both.values()] == pytest.approx([sequential.ALPHA / 2] * 2)


def test_a_count_beside_another_part_shares_the_chance_of_error(judged):
    counted = {"better": {"method": "dreamer"}, "than": {"method": "planet"}, "at_each": "task", "count": "1 of 1"}
    found = judged(GAIN, {"one": counted, "two": {"all": [counted, PAIR]}})
    assert {answer["answer"] for answer in found.values()} == {CONFIRMED}
    assert (found["one"]["estimate"], found["one"]["low"], found["one"]["high"]) == (1, 1, 1)


@pytest.mark.parametrize("gain", [200, 500, 700, 850])
def test_a_count_of_one_task_is_as_sure_as_its_difference(judged, gain):
    """Also where returns leave the interval no more room: its other end says nothing of this one."""
    plain = {"better": {"method": "dreamer"}, "than": {"method": "planet"}}
    counted = plain | {"at_each": "task", "count": "1 of 1"}
    means = {"dreamer": 100 + gain, "planet": 100}
    kinds = [judged(means, {"q": fields}, seeds=2, noise=40)["q"] for fields in (plain, counted)]
    assert kinds[0]["answer"] == kinds[1]["answer"]
    assert kinds[1]["low"] == (kinds[0]["low"] > 0)


def test_published_scores_count_on_the_tasks_that_have_one(judged):
    than = {"better": {"method": "dreamer"}, "than": {"published": "planet"}}
    assert judged({"dreamer": 990}, {"q": than})["q"]["answer"] == CONFIRMED

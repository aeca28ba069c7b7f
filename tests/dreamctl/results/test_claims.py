"""Verdicts on the paper's claims, in invented worlds where each is true, is false, or cannot be told (synthetic)."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete

from agent.config import make
from benchmarks.synthetic import WORLDS, World, fill
from dreamctl.errors import BadInput
from dreamctl.jobs import sweeps
from dreamctl.jobs.claims import catalogue
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import Request
from dreamctl.results import claims, published
from dreamctl.results.cells import Choice
from dreamctl.results.claims import CONFIRMED, CONTRADICTED, UNDECIDED
from dreamctl.results.claims.evidence import TASKS
from dreamctl.store import open_store
from dreamctl.store.models import Evaluation, Run

CLAIMS = catalogue()
HOURS = {"dreamer": 10.0, "no_value": 10.0, "planet": 17.0}
EVERY = 100_000  # environment steps between two evaluations
PROTOCOL = (7, 18)  # claims on how the runs were made; no score can contradict them


def world_of(tmp_path_factory, world, noise=12.0, name="all", **request):
    store = open_store(tmp_path_factory.mktemp("world"))
    fill(store, sweeps.build(name, Request(**request)).cells(), WORLDS[world], noise, 250_000)
    return store


def stored(folder, score, *cells, noise=12.0, every=500_000):
    """A store of runs whose score at the end is a function of their spec; they learn at once."""
    store = open_store(folder / "home")
    world = World(lambda cell, at: np.full(len(at), float(score(cell))), HOURS, 0.3)
    unique = {cell.digest: cell for of in cells for cell in of}
    fill(store, list(unique.values()), world, noise, every)
    return store


def grid(name, **request):
    """The runs of a built-in sweep, under names of their own."""
    own = sweeps.build(name, Request(**request)).cells()
    return [dataclasses.replace(cell, name=f"run-{cell.digest[:12]}") for cell in own]


def verdicts(store, **choice):
    return {v.claim.number: v for v in claims.judge(claims.gather(store, Choice(**choice)))}


@pytest.fixture(scope="module")
def confirming(tmp_path_factory):
    return verdicts(world_of(tmp_path_factory, "confirming"))


@pytest.fixture(scope="module")
def contradicting(tmp_path_factory):
    return verdicts(world_of(tmp_path_factory, "contradicting"))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """All claims are true, but seeds are 250 points apart."""
    return verdicts(world_of(tmp_path_factory, "confirming", noise=250.0))


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """All claims are true, but there are runs of half of the tasks alone."""
    return verdicts(world_of(tmp_path_factory, "confirming", tasks=TASKS[:10]))


NUMBERS = [claim.number for claim in CLAIMS]


def test_there_are_19_claims_and_each_says_what_is_needed():
    assert NUMBERS == list(range(1, 20))
    for claim in CLAIMS:
        assert claim.text and claim.place and claim.note
        assert claim.sweep in sweeps.NAMES


@pytest.mark.parametrize("number", NUMBERS)
def test_a_true_claim_is_confirmed(confirming, number):
    assert confirming[number].outcome == CONFIRMED, confirming[number]
    assert confirming[number].runs and confirming[number].command is None


@pytest.mark.parametrize("number", [number for number in NUMBERS if number not in PROTOCOL])
def test_a_false_claim_is_contradicted(contradicting, number):
    assert contradicting[number].outcome == CONTRADICTED, contradicting[number]


@pytest.mark.parametrize("number", [number for number in NUMBERS if number not in (5, 6, 17, *PROTOCOL)])
def test_noise_leaves_a_claim_undecided(noisy, number):
    verdict = noisy[number]
    assert verdict.outcome == UNDECIDED, verdict
    assert verdict.command.endswith(" --looks 3,6")  # twice as many, if these do not tell


def test_what_is_level_leaves_a_claim_undecided(tmp_path):
    """Scores at D4PG's mean, early ones just as far below PlaNet's as a tie allows, the same part kept of the score at
    horizon 20, hours at the edge of what is near, errors at the edge of what is accurate."""

    def curve(cell, at):
        config = cell.config
        score = np.where(at <= 500_000, 300.0, 796.0) if config.method == "dreamer" else np.full(len(at), 350.0)
        return score * (1 - abs(config.horizon - 20) / 25)

    store = open_store(tmp_path / "home")
    cells = {cell.digest: cell for name in ("performance", "horizon") for cell in grid(name)}
    level = World(curve, {"dreamer": 10, "no_value": 10, "planet": 17 / 1.5}, 0.5)
    fill(store, list(cells.values()), level, 100.0, EVERY)
    found = verdicts(store)
    assert {number: found[number].outcome for number in (4, 5, 6, 9, 17)} == dict.fromkeys((4, 5, 6, 9, 17), UNDECIDED)


@pytest.mark.parametrize("number", [number for number in NUMBERS if number not in (6, 17, 9, 10)])
def test_missing_tasks_leave_a_claim_undecided(halves, number):
    verdict = halves[number]
    assert verdict.outcome == UNDECIDED, verdict
    assert verdict.command.startswith(f"dreamctl sweep {verdict.claim.sweep}")


def test_missing_runs_of_timing_predictions_and_horizons_leave_their_claims_undecided(tmp_path_factory):
    store = world_of(tmp_path_factory, "confirming", name="representation", tasks=("cheetah_run", "walker_walk"))
    found = verdicts(store)
    assert {found[number].outcome for number in (6, 9, 10, 17)} == {UNDECIDED}
    assert found[17].command == "dreamctl sweep performance --tasks hopper_hop,hopper_stand,walker_run,walker_stand"
    assert found[9].command == "dreamctl sweep horizon"


def test_with_a_single_seed_nothing_is_said_of_a_score(tmp_path):
    store = stored(tmp_path, lambda cell: 802, grid("performance", seeds="1"))
    found = verdicts(store)
    assert {found[number].outcome for number in (1, 2, 3, 4)} == {UNDECIDED}
    assert found[1].command == "dreamctl sweep performance"
    assert found[7].outcome == CONFIRMED  # configs are equal with a single seed, too


def test_configs_that_differ_by_task_contradict_claim_7(tmp_path):
    store = open_store(tmp_path / "home")
    cells = [
        dataclasses.replace(cell, config=make("paper", {"model_lr": 1e-3 if index % 2 else 6e-4}))
        for index, cell in enumerate(sweeps.build("performance", Request(methods=("dreamer",), seeds="1")).cells())
    ]
    fill(store, cells, WORLDS["confirming"], every=EVERY)
    verdict = verdicts(store)[7]
    assert verdict.outcome == CONTRADICTED
    assert verdict.answer.high == 10


@pytest.mark.parametrize(("only", "outcome"), [({"horizon": 3}, UNDECIDED), ({"model_lr": 6e-4}, CONTRADICTED)])
def test_a_task_that_lacks_the_common_run_is_open_unless_its_settings_differ(tmp_path, only, outcome):
    """19 tasks alike; the last has been run with another value of a sweep's axis, or with a learning rate of its own.

    A task of the user's own counts neither way.
    """
    *alike, last = sweeps.build("performance", Request(methods=("dreamer",), seeds="1")).cells()
    other = dataclasses.replace(last, config=make("paper", only))
    extra = RunSpec("fish_swim", 0, make("paper"), "paper", "extra")
    store = open_store(tmp_path / "home")
    fill(store, [*alike, other, extra], WORLDS["confirming"], every=EVERY)
    verdict = verdicts(store)[7]
    assert verdict.outcome == outcome
    answer = verdict.answer
    assert (answer.estimate, answer.low, answer.high) == (19, 19, 20 if outcome == UNDECIDED else 19)


def test_too_few_seeds_everywhere_contradict_claim_18(tmp_path):
    store = open_store(tmp_path / "home")
    fill(store, sweeps.build("all", Request(seeds="2")).cells(), WORLDS["confirming"], every=EVERY)
    verdict = verdicts(store)[18]
    assert verdict.outcome == CONTRADICTED
    assert 0 < verdict.answer.low == verdict.answer.high
    assert verdict.command == "dreamctl sweep all"


def test_a_verdict_says_on_which_runs_and_at_which_setting(confirming):
    verdict = confirming[11]
    assert verdict.setting == "preset paper, 2,000,000 environment steps, 3 seeds"
    assert len(verdict.runs) == 27 and {name.split("-")[0] for name in verdict.runs} == {
        "acrobot_swingup",
        "hopper_hop",
        "hopper_stand",
    }
    assert json.loads(json.dumps(verdict.to_dict()))["outcome"] == "confirmed"


def test_runs_of_another_preset_and_length_are_judged_as_what_they_are(tmp_path):
    """Runs of a sweep at the size tiny, of 600,000 steps, with a horizon of their own."""
    store = open_store(tmp_path / "home")
    request = Request(tasks=("acrobot_swingup", "cheetah_run", "hopper_hop", "hopper_stand"), preset="tiny",
                      settings=("steps=600000", "horizon=8", "action_repeat=2"), seeds="5")  # fmt: skip
    plan = sweeps.build("behavior", request)
    fill(store, plan.cells(), WORLDS["confirming"], 12.0, EVERY)
    found = verdicts(store)
    assert found[11].outcome == CONFIRMED
    assert found[11].setting == "preset tiny, 600,000 environment steps, 5 seeds"
    evidence = claims.gather(store, Choice())
    assert not evidence.as_published
    # the command that it suggests makes cells that count
    words = found[8].command.removeprefix("dreamctl sweep behavior ").split()
    values = dict(zip(words[::2], words[1::2], strict=True)) | {"--set": words[1::2][words[::2].index("--set") :]}
    more = sweeps.build(
        "behavior",
        Request(tasks=tuple(values["--tasks"].split(",")), preset=values["--preset"], settings=tuple(values["--set"])),
    ).cells()
    assert {cell.config for cell in more} == {cell.config for cell in plan.cells()}
    assert {cell.task for cell in more} | {cell.task for cell in plan.cells()} == set(TASKS)


def test_runs_that_are_shorter_or_have_other_settings_do_not_count(tmp_path):
    store = open_store(tmp_path / "home")
    long = [RunSpec("hopper_hop", seed, make("paper"), "paper") for seed in range(3)]
    short = [RunSpec("hopper_hop", 3, make("paper", {"steps": 1_000_000}), "paper", "short")]
    other = [RunSpec("hopper_hop", 4, make("paper", {"model_lr": 1e-4}), "paper", "other")]
    fill(store, [*long, *short, *other], WORLDS["confirming"], every=EVERY)
    evidence = claims.gather(store, Choice())
    (cell,) = evidence.cells
    assert set(evidence.cells[cell]) == {0, 1, 2}
    assert (evidence.left_out, evidence.unfinished, evidence.steps) == (1, 1, 2_000_000)
    # read at the length of the short one, it counts, and the others are read there
    earlier = claims.gather(store, Choice(until=1_000_000))
    assert set(earlier.cells[cell]) == {0, 1, 2, 3}
    (first, *_) = [run for run in store.runs() if run.seed == 0]
    at = [e.mean for e in store.evaluations(first.id) if e.env_steps == 1_000_000]
    assert [earlier.score(first)] == at


def test_a_run_without_an_evaluation_so_early_does_not_count(tmp_path):
    store = open_store(tmp_path / "home")
    fill(store, [RunSpec("hopper_hop", seed, make("paper"), "paper") for seed in (0, 1)], every=EVERY)
    late = next(run.id for run in store.runs() if run.seed == 0)
    with store._write() as session:
        session.execute(delete(Evaluation).where(Evaluation.run_id == late, Evaluation.env_steps == EVERY))
    evidence = claims.gather(store, Choice(until=EVERY))
    (cell,) = evidence.cells
    assert (set(evidence.cells[cell]), evidence.unfinished) == ({1}, 1)


def test_of_two_equal_runs_that_of_the_wanted_length_counts(tmp_path):
    """Its final evaluation has more episodes than the one that the longer run had on its way."""
    store = open_store(tmp_path / "home")
    runs = [
        RunSpec("hopper_hop", seed, make("paper", {"steps": 500_000}), "paper", f"short{seed}") for seed in range(3)
    ]
    runs += [RunSpec("hopper_hop", 1, make("paper"), "paper", "long")]
    fill(store, runs, WORLDS["confirming"], every=EVERY)
    evidence = claims.gather(store, Choice())
    (seeds,) = evidence.cells.values()
    assert [seeds[seed].name for seed in range(3)] == ["short0", "short1", "short2"]
    assert (evidence.steps, evidence.unfinished) == (500_000, 0)
    assert evidence.remarks([cell.key for cell in evidence.cells]) == [
        "hopper_hop seed 1 was trained twice: that of 500,000 steps counts: short1"
    ]
    assert evidence.score(seeds[1]) == seeds[1].score


def test_without_a_value_model_the_usual_horizon_is_dreamers(tmp_path):
    """Also where there are runs of other horizons alone; PlaNet's is its own, the nearest to its preset's."""
    store = open_store(tmp_path / "home")
    settings = [("dreamer", 20), ("no_value", 3), ("no_value", 25), ("planet", 3), ("planet", 10)]
    configs = [make("paper", {"method": method, "horizon": horizon}) for method, horizon in settings]
    fill(store, [RunSpec("hopper_hop", 0, config, "paper", f"run{i}") for i, config in enumerate(configs)], every=EVERY)
    evidence = claims.gather(store, Choice())
    assert [evidence.horizon(method) for method in ("dreamer", "no_value", "planet")] == [20, 20, 10]
    assert evidence.cell("hopper_hop", "no_value") not in evidence.cells


def test_a_finished_sweep_of_the_users_asks_for_no_more_of_itself(tmp_path):
    store = open_store(tmp_path / "home")
    cells = [RunSpec("hopper_hop", seed, make("paper"), "paper") for seed in range(3)]
    fill(store, cells, every=EVERY)
    store.enroll(store.open_sweep("mine", {"parts": [], "limit": None}, 3).id, [run.id for run in store.runs()])
    assert {verdict.command for verdict in verdicts(store, sweep="mine").values()} == {None}
    assert verdicts(store)[1].command.startswith("dreamctl sweep performance")


def test_runs_of_several_presets_are_not_judged_together(tmp_path):
    store = open_store(tmp_path / "home")
    cells = [RunSpec("hopper_hop", 0, make(preset), preset, preset) for preset in ("paper", "official")]
    fill(store, cells, every=EVERY)
    with pytest.raises(BadInput, match="--preset"):
        claims.gather(store, Choice())
    assert claims.gather(store, Choice(preset="official")).preset == "official"


def test_the_papers_own_figures_agree_with_its_claims(tmp_path):
    """What can be read off Figure 7 of the camera-ready, as if ten seeds had scored it to 10 points."""
    known = {
        (s.task, s.method): s.mean for s in published.scores() if "figure7" in s.source and s.env_steps == 2_000_000
    }
    tasks = tuple(sorted({task for task, _ in known}))
    assert len(tasks) == 8

    def curve(cell, at):
        return np.full(len(at), float(known[cell.task, cell.config.method]))

    store = open_store(tmp_path / "home")
    cells = sweeps.build("behavior", Request(tasks=tasks, seeds="10")).cells()
    fill(store, cells, World(curve, {"dreamer": 10, "no_value": 10, "planet": 17}, 0.3), 10.0, EVERY)
    found = verdicts(store)
    assert found[11].outcome == CONFIRMED
    elsewhere = [number for number in found[12].answer.numbers if " below " in number.name]
    assert len(elsewhere) == 12 and all(number.low > 0 for number in elsewhere)  # of walker_stand there are no runs


SHORT = ("steps=1000000",)
SLOW = ("model_lr=0.006",)


@pytest.mark.parametrize("settings", [SHORT, SLOW])
def test_where_the_papers_setting_is_complete_it_is_judged(tmp_path, settings):
    """However many runs are shorter, or have other hyper-parameters, and score otherwise."""

    def score(cell):
        paper = cell.config.steps == 2_000_000 and cell.config.model_lr == make("paper").model_lr
        return {"dreamer": 802, "planet": 312}.get(cell.config.method, 300) if paper else 500

    more = grid("behavior", settings=settings, seeds="4")
    store = stored(tmp_path, score, grid("performance"), more)
    evidence = claims.gather(store, Choice())
    assert evidence.as_published and evidence.steps == 2_000_000
    assert evidence.left_out + evidence.unfinished == len(more)
    found = verdicts(store)
    assert found[1].outcome == found[2].outcome == CONFIRMED


def test_else_the_setting_with_most_of_the_papers_cells_is_judged(tmp_path):
    """A few cells with many seeds do not outvote it."""
    many = grid("performance", tasks=("walker_walk",), settings=SLOW, seeds="40")
    store = stored(tmp_path, lambda cell: 500, grid("performance", tasks=TASKS[:10], seeds="2"), many)
    assert claims.gather(store, Choice()).as_published


def test_what_has_learned_nothing_contradicts_nothing(tmp_path):
    """Claims 9 and 10: the alternatives stuck at 40 at every horizon, Dreamer better, the longer its horizon."""
    score = lambda cell: 650 + 4.5 * cell.config.horizon if cell.config.method == "dreamer" else 40  # noqa: E731
    found = verdicts(stored(tmp_path, score, grid("horizon")))
    assert found[9].outcome == found[10].outcome == UNDECIDED
    assert all(number.floored for number in found[9].answer.numbers)
    assert found[9].notes[0].startswith("nothing is learned")
    assert [number.low > 1 for number in found[10].answer.numbers[:2]] == [True, True]  # short horizons are good enough


def test_what_has_learned_nothing_confirms_nothing(tmp_path):
    """Claim 5: all scores 5."""
    found = verdicts(stored(tmp_path, lambda cell: 5, grid("performance"), noise=1.0))
    assert found[5].outcome == UNDECIDED
    assert found[1].outcome == CONTRADICTED  # that much is sure


def test_hours_are_compared_on_one_kind_of_machine(tmp_path):
    """Every device is called cuda:0. On the machine that trained both methods PlaNet takes 0.85 of Dreamer's hours."""
    store = stored(tmp_path, lambda cell: 500, grid("performance", tasks=("cheetah_run", "walker_walk"), seeds="6"))
    with store._write() as session:
        for run in session.query(Run):
            slow = run.method == "planet" and run.seed >= 4
            run.hardware = "slow" if slow else "fast"
            run.work_seconds *= 1.0 if slow or run.method == "dreamer" else 0.5
    found = verdicts(store)
    assert found[6].answer.numbers[0].estimate == pytest.approx(0.85 / (1.7 / 1.5), rel=0.05)
    assert found[6].outcome == CONTRADICTED
    assert any("on fast, 8 runs" in note for note in found[6].notes)
    with store._write() as session:  # not recorded: a host is one machine
        for run in session.query(Run):
            run.host, run.hardware = run.hardware, None
    assert any("on cuda:0 of fast, 8 runs" in note for note in verdicts(store)[6].notes)


def test_no_machine_with_both_methods_leaves_hours_open(tmp_path):
    store = stored(tmp_path, lambda cell: 500, grid("performance", tasks=("walker_walk",)))
    with store._write() as session:
        for run in session.query(Run):
            run.hardware = run.method
    assert verdicts(store)[6].outcome == UNDECIDED


def test_three_equal_action_repeats_are_enough_for_claim_16(tmp_path):
    """With two seeds, as the paper's: no single task can show it, all of them together do."""
    found = verdicts(stored(tmp_path, lambda cell: 800, grid("action-repeat", seeds="2"), noise=50.0))
    assert found[16].outcome == CONFIRMED, found[16].answer
    assert not any(number.holds for number in found[16].answer.numbers)


def test_a_method_with_less_noise_is_not_more_robust_for_that(tmp_path):
    """Claim 9: at no horizon is any method better or worse; the alternatives' seeds scatter more."""
    store = open_store(tmp_path / "home")
    rng = np.random.default_rng(1)
    noise = {"dreamer": 5.0, "no_value": 150.0, "planet": 150.0}
    flat = World(lambda cell, at: np.full(len(at), 500 + rng.normal(0, noise[cell.config.method])), HOURS, 0.3)
    fill(store, grid("horizon"), flat, 1.0, 500_000)
    found = verdicts(store)
    assert found[9].outcome == UNDECIDED
    assert found[10].outcome == UNDECIDED  # nor do short horizons fail without a value model


def test_short_horizons_fail_only_if_long_ones_do_better(tmp_path):
    """Claim 10: without a value model as much worse at horizon 20 as at 3 and 5 is no gain at short ones."""
    level = lambda cell: 800 if cell.config.method == "dreamer" else 400  # noqa: E731
    kept = verdicts(stored(tmp_path, level, grid("horizon")))[10]
    assert kept.outcome == UNDECIDED
    assert kept.answer.numbers[-1].estimate == pytest.approx(1.0, abs=0.1)


def test_a_diverged_run_counts(tmp_path):
    """With what it last scored; it is no reason to ask for more."""
    store = stored(tmp_path, lambda cell: 802, grid("performance", methods=("dreamer",)))
    with store._write() as session:
        for run in session.query(Run).filter(Run.seed == 0):
            run.status, run.diverged, run.env_steps = "failed", True, 600_000
            session.execute(delete(Evaluation).where(Evaluation.run_id == run.id))
    found = verdicts(store)
    assert found[1].outcome == CONTRADICTED and len(found[1].runs) == 60
    assert found[1].answer.numbers[0].estimate == pytest.approx(802 * 2 / 3 - 752, abs=5)


def test_answers_share_the_chance_of_error(confirming, halves):
    """Holm: 17 questions share 5 %, but for those of which no number is known."""
    assert min(verdict.answer.level for verdict in confirming.values()) == pytest.approx(0.05 / 17)
    assert min(verdict.answer.level for verdict in halves.values()) == pytest.approx(0.05 / 10)


def test_a_decided_world_is_decided_as_the_documents_say():
    """docs/report.md: how many runs the invented store has."""
    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text()
    assert f"makes a store of {len(sweeps.build('all', Request()).cells())} invented runs" in text

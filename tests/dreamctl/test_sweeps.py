"""Sweeps: which runs they are made of."""

import itertools
import json

import pytest

from agent.config import make
from agent.tasks import TASKS
from dreamctl.errors import BadInput, UnknownRun
from dreamctl.jobs import sweeps
from dreamctl.jobs.sweeps import Request
from tests.dreamctl.conftest import cli, typed


def cells(name, **request):
    return sweeps.build(name, Request(**request)).cells()


def test_horizon_is_figure_4(tmp_path):
    """4 tasks x 8 horizons x 3 methods x 3 seeds; every config is the preset with method and horizon changed."""
    done = cli("sweep", "horizon", "--dry-run", "--json", home=tmp_path / "home")
    listed = json.loads(done.stdout)
    tasks = ["cartpole_swingup", "cheetah_run", "quadruped_walk", "walker_walk"]
    horizons, methods = [3, 5, 10, 15, 20, 25, 30, 40], ["dreamer", "no_value", "planet"]
    found = [(c["task"], c["horizon"], c["method"], c["seed"]) for c in listed]
    assert sorted(found) == sorted(itertools.product(tasks, horizons, methods, range(3)))
    for cell in listed:
        changes = {"method": cell["method"], "horizon": cell["horizon"]}
        assert cell["config"] == make("paper", changes).to_dict()
        assert cell["objective"] == "reconstruction" and cell["action_repeat"] == 2 and cell["status"] is None
    assert len({cell["digest"] for cell in listed}) == 288
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("axes", "columns"),
    [
        (["--grid", "returns=lambda,rewards"], ["TASK", "RETURNS", "SEEDS", "STORED"]),
        (["--methods", "dreamer,no_value"], ["TASK", "METHOD", "SEEDS", "STORED"]),  # whose returns differ, too
    ],
)
def test_a_dry_run_has_a_row_for_each_setting(tmp_path, axes, columns):
    done = typed("sweep", "--tasks", "walker_walk", "--seeds", "2", *axes, "--dry-run", home=tmp_path / "home")
    heading, *rows = [line.split() for line in done.stdout.partition("\n\n")[0].splitlines()]
    assert heading == columns and [row[-2:] for row in rows] == [["0,1", "-"]] * 2


@pytest.mark.parametrize(
    ("name", "key", "values", "fixed"),
    [
        ("behavior", "method", {"dreamer", "no_value", "planet"}, {"horizon": 20}),
        ("representation", "objective", {"reconstruction", "contrastive", "reward"}, {"method": "dreamer"}),
        ("action-repeat", "action_repeat", {1, 2, 4}, {"method": "dreamer", "horizon": 20}),
        ("performance", "method", {"dreamer", "planet"}, {"objective": "reconstruction"}),
    ],
)
def test_the_other_sweeps_cover_all_tasks(name, key, values, fixed):
    found = cells(name, seeds="1")
    assert {(c.task, getattr(c.config, key)) for c in found} == set(itertools.product(TASKS, values))
    assert len(found) == 20 * len(values)
    assert all(getattr(c.config, k) == v for c in found for k, v in fixed.items())


def test_figures_share_runs():
    """Dreamer at the paper's settings is one run for figures 6, 7, 8 and 11, and all of Figure 4's horizon 20."""
    digests = {name: {c.digest for c in cells(name)} for name in sweeps.BUILT_IN}
    plain = {c.digest for c in cells("behavior", methods=("dreamer",))}
    for name in ("performance", "behavior", "representation", "action-repeat"):
        assert plain <= digests[name]
    assert len(plain & digests["horizon"]) == 4 * 3
    assert {c.digest for c in cells("all")} == set().union(*digests.values())
    assert len(cells("all")) < sum(len(cells(name)) for name in sweeps.BUILT_IN)


def test_a_user_narrows_and_widens_a_sweep():
    found = cells(
        "horizon", tasks=("walker_run",), methods=("planet",), seeds="4,7", preset="tiny", settings=("steps=5e4",)
    )
    assert {(c.task, c.config.method, c.seed, c.config.steps, c.preset) for c in found} == {
        ("walker_run", "planet", seed, 50_000, "tiny") for seed in (4, 7)
    }
    every = [(seed, h) for seed in (4, 7) for h in (3, 5, 10, 15, 20, 25, 30, 40)]
    assert [(c.seed, c.config.horizon) for c in found] == every  # seed by seed: all cells once, then again
    assert len(cells("horizon", limit=5)) == 5
    assert {c.config.horizon for c in cells("horizon", settings=("horizon=7",))} == {7}


def test_a_sweep_from_the_command_line_alone_is_named_after_its_content():
    request = Request(tasks=("walker_walk",), grid=("horizon=5,10,15", "discount=0.9,0.99"), seeds="3")
    plan = sweeps.build(None, request)
    found = plan.cells()
    assert len(found) == 18 and {(c.config.horizon, c.config.discount) for c in found} == set(
        itertools.product((5, 10, 15), (0.9, 0.99))
    )
    assert found[0].label == "horizon5-discount0.9"
    assert sweeps.build(None, request).name == plan.name != sweeps.build(None, Request(tasks=("walker_run",))).name


def test_a_sweep_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "tasks: [walker_walk, cheetah_run]\nmethods: dreamer, planet\nseeds: 2\npreset: tiny\n"
        "set: {discount_weights: true, steps: 5e4}\ngrid: {horizon: [5, 10]}\n"
    )
    plan = sweeps.build(str(path), Request())
    found = plan.cells()
    assert plan.name == "mine" and len(found) == 2 * 2 * 2 * 2
    assert all(c.config.discount_weights and c.config.steps == 50_000 and c.preset == "tiny" for c in found)
    grid = set(itertools.product(("dreamer", "planet"), (5, 10)))
    assert {(c.config.method, c.config.horizon) for c in found} == grid


def test_a_name_stands_for_one_list_of_runs():
    """What is narrowed, widened or cut has another name, the same for the same; options that change nothing keep it."""
    plain = sweeps.build("horizon", Request())
    assert plain.name == "horizon"
    assert sweeps.build("horizon", Request(preset="paper", seeds="0,1,2")) == plain
    changed = [
        sweeps.build("horizon", Request(**request))
        for request in ({"preset": "smoke"}, {"seeds": "5"}, {"limit": 2}, {"tasks": ("walker_walk",)})
    ]
    assert len({plan.name for plan in changed}) == 4 and all(plan.name.startswith("horizon-") for plan in changed)
    assert sweeps.build("horizon", Request(limit=2)) == changed[2] and len(changed[2].cells()) == 2


def test_a_stored_sweep_goes_on_by_its_name():
    plan = sweeps.build("behavior", Request(tasks=("walker_walk",), settings=("depth=16",), seeds="1", limit=2))
    stored = {plan.name: json.loads(json.dumps(plan.to_dict()))}

    def find(name):
        if name not in stored:
            raise UnknownRun(name)
        return stored[name]

    assert sweeps.build(plan.name, Request(), find) == plan
    assert [c.digest for c in sweeps.build(plan.name, Request(), find).cells()] == [c.digest for c in plan.cells()]
    assert sweeps.build(plan.name, Request(seeds="2"), find).name.startswith(f"{plan.name}-")
    with pytest.raises(BadInput, match="unknown sweep 'horizn', did you mean 'horizon'"):
        sweeps.build("horizn", Request(), find)


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("[5]", (5,)), ("[1, 4]", (1, 4)), ("'2,7'", (2, 7))])
def test_seeds_in_a_file_are_a_number_or_a_list(tmp_path, text, seeds):
    path = tmp_path / "mine.yaml"
    path.write_text(f"tasks: walker_walk\nseeds: {text}\nlimit: 9\n")
    assert tuple(cell.seed for cell in sweeps.read(path).cells()) == seeds
    path.write_text(f"tasks: walker_walk\nseeds: {text}\nlimit: 1\n")
    assert len(sweeps.read(path).cells()) == 1


BAD = [
    (["sweep"], "which sweep?"),
    (["sweep", "horizn"], "did you mean 'horizon'"),
    (["sweep", "horizon", "--tasks", "walker_wlk"], "did you mean 'walker_walk'"),
    (["sweep", "horizon", "--methods", "plnet"], "did you mean 'planet'"),
    (["sweep", "horizon", "--seeds", "0"], "seeds are a number"),
    (["sweep", "horizon", "--executor", "slrm"], "--executor is local, slurm or ray"),
    (["sweep", "horizon", "--resource", "time=1"], "--resource is for --executor"),
    (["sweep", "horizon", "--seeds", "a"], "seeds are a number"),
    (["sweep", "horizon", "--grid", "horizn=3"], "did you mean 'horizon'"),
    (["sweep", "horizon", "--grid", "horizon"], "--grid takes key=value"),
    (["sweep", "horizon", "--grid", "horizon=3,4", "--set", "horizon=3"], "--set and --grid both name horizon"),
    (["sweep", "horizon", "--methods", "planet", "--set", "method=planet"], "--set and --methods both name method"),
    (["sweep", "horizon", "--set", "horizon=1"], "horizon must be at least 2"),
    (["sweep", "horizon", "--preset", "tny"], "did you mean 'tiny'"),
    (["sweep", "none.yaml"], "cannot read none.yaml"),
    (["sweep", "horizon", "--cpu-slots", "0"], "no slot"),
    (["status", "nothing"], "no sweep 'nothing'"),
    (["pause", "nothing"], "no sweep 'nothing'"),
    (["resume", "nothing"], "no sweep 'nothing'"),
    (["retry", "nothing"], "no run 'nothing'"),
    (["logs", "nothing"], "no run 'nothing'"),
    (["rm", "nothing"], "no run 'nothing'"),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[" ".join(command) for command, _ in BAD])
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, command, message):
    done = typed(*command, home=tmp_path / "home")
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bad_file_is_one_line(tmp_path):
    path = tmp_path / "a.yaml"
    for text, message in (
        ("- 1", "must hold the keys"),
        ("task: x", "did you mean 'tasks'"),
        ("a: [", "is not YAML"),
        ("name: a/b", "'a/b' cannot name a sweep"),
        ("name: horizon", "'horizon' cannot name"),
        ("limit: 0", "limit is a number of runs"),
        ("seeds: []", "seeds are a number"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=message):
            sweeps.read(path)

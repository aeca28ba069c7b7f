"""Groups by what trained their runs, and the remark on groups that mix it."""

import pytest

from dreamctl.errors import BadInput
from dreamctl.results import comparison, costs, grouping
from dreamctl.results.cells import Choice, alike, find
from dreamctl.store.models import Run

OWN, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def trained(store, evaluated):
    """A function that stores an evaluated run with a code."""

    def make(code, score=100, **settings):
        run = evaluated({400: [score]}, **settings)
        with store._write() as session:
            session.get_one(Run, run.id).code = code
        return store.get(run.id)

    return make


def test_groups_and_cells_by_code(store, trained):
    scores = {OWN: 100, OTHER: 300, None: 7}
    runs = [trained(code, score, seed=seed) for seed in range(2) for code, score in scores.items()]
    found = comparison.compare(store, runs, ("code",))
    assert [(g.name, g.scores) for g in found.groups] == [
        ("code=fedcba98", {"pendulum_swingup": [300.0, 300.0]}),
        ("code=01234567", {"pendulum_swingup": [100.0, 100.0]}),
        ("code=unknown", {"pendulum_swingup": [7.0, 7.0]}),
    ]
    (group,) = comparison.compare(store, runs, ("method",), within=("code",)).groups
    assert sorted(group.scores) == [f"pendulum_swingup, code={c}" for c in ("01234567", "fedcba98", "unknown")]
    with pytest.raises(BadInput, match="did you mean 'code'"):
        comparison.compare(store, runs, ("cod",))


def test_a_group_of_mixed_code_is_told_in_one_remark(trained):
    mixed = [trained(OWN), trained(f"{OWN}+{OTHER}", seed=1), trained(None, seed=2)]
    even = [trained(OWN, seed=seed, horizon="7") for seed in range(2)]
    before = [trained(None, seed=seed, horizon="9") for seed in range(2)]
    told = "pendulum_swingup dreamer: runs of {} codes ({}): dreamctl compare --by code"
    assert grouping.mixed(alike([*mixed, *even, *before])) == [told.format(3, "01234567, fedcba98, unknown")]
    assert grouping.mixed(alike([*even, *before])) == []
    assert grouping.mixed(alike(mixed, ("code",))) == [told.format(2, "01234567, fedcba98")]


def test_lines_of_the_same_codes_are_named_together(trained):
    tasks = ("cheetah_run", "walker_run", "walker_stand", "walker_walk")
    runs = [trained(code, seed=seed, task=task) for task in tasks for seed, code in enumerate((OWN, OTHER))]
    (told,) = grouping.mixed(alike(runs))
    assert told.startswith("cheetah_run dreamer, walker_run dreamer, walker_stand dreamer and 1 more: runs of 2 codes")


def test_figures_tell_of_mixed_code(store, trained):
    runs = [trained(code, seed=seed, task="walker_walk") for seed, code in enumerate((OWN, OTHER))]
    store.enroll(store.open_sweep("mine", {}, 1).id, [run.id for run in runs])
    found = find(store, "performance", ("method",), Choice(sweep="mine"))
    assert [note for note in found.notes if "2 codes" in note]


def test_a_machine_is_its_model_or_its_name():
    run = Run(device="cuda:0", host="slow", hardware=None)
    assert costs.machine(run) == "cuda:0 of slow" != costs.machine(Run(device="cuda:0", host="fast"))
    assert costs.machine(Run(device="cuda:0", host="slow", hardware="NVIDIA H100")) == "NVIDIA H100"

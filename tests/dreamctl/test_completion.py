"""What Tab offers, as a shell asks for it, and what it costs."""

import os
import resource
import statistics
import subprocess
import sys

import pytest

from agent.config import OBJECTIVES
from dreamctl.cli import completion
from dreamctl.jobs.launch import submit
from dreamctl.jobs.sweeps import NAMES
from dreamctl.store import open_store
from dreamctl.store.models import STATUSES
from tests.dreamctl.conftest import spec

PROGRAM = "import sys; sys.argv[0] = 'dreamctl'; from dreamctl.cli import main; main()"


def ask(line, cwd, program=("-c", PROGRAM)):
    words = line.split()
    place = len(words) - (not line.endswith(" "))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DREAMCTL")}
    environment |= {"_DREAMCTL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(place)}
    done = subprocess.run([sys.executable, *program], capture_output=True, text=True, env=environment, cwd=cwd)
    assert not done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with a home, two runs and a sweep in it."""
    folder = tmp_path_factory.mktemp("work")
    store = open_store(folder / "runs")
    runs = [submit(store, spec(seed)) for seed in range(2)]
    store.set_labels([runs[0].id], add=["ablation"])
    store.enroll(store.open_sweep("mine", {}, 3).id, [run.id for run in runs])
    (folder / "grid.yaml").touch()
    return folder


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dreamctl show ", {"pendulum_swingup-dreamer-s0", "pendulum_swingup-dreamer-s1"}),
        ("dreamctl plot curves pend", {"pendulum_swingup-dreamer-s0", "pendulum_swingup-dreamer-s1"}),
        ("dreamctl run --resume pendulum_swingup-dreamer-s1", {"pendulum_swingup-dreamer-s1"}),
        ("dreamctl show pendulumXswingup", set()),  # an underscore is no wildcard
        ("dreamctl show --home nowhere ", set()),
        ("dreamctl stop m", {"mine"}),
        ("dreamctl status m", {"mine"}),
        ("dreamctl sweep ", {*NAMES, "mine", "grid.yaml"}),
        ("dreamctl run walker_", {"walker_run", "walker_stand", "walker_walk"}),
        ("dreamctl run fish", {"fish_upright", "fish_swim"}),
        ("dreamctl run walker_run --preset ", {"paper", "official", "tiny", "smoke"}),
        ("dreamctl run walker_run --set hor", {"horizon="}),
        ("dreamctl run walker_run --set=objective=", {f"objective={name}" for name in OBJECTIVES}),
        ("dreamctl run walker_run --tag ", {"ablation"}),
        ("dreamctl sweep --tasks walker_run,fish_s", {"walker_run,fish_swim"}),
        ("dreamctl plot figure1", {"figure10", "figure11"}),
        ("dreamctl ls --status f", {"finished", "failed"}),
    ],
)  # fmt: skip
def test_tab_offers(folder, line, offered):
    assert set(ask(line, folder)) - {""} == offered


def test_what_is_offered_is_what_there_is():
    assert set(completion.SWEEPS) == set(NAMES) and set(completion.STATUSES) == set(STATUSES)


def test_completing_writes_nothing(tmp_path):
    ask("dreamctl show ", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tab_costs_less_than_a_fifth_of_a_second_beyond_a_bare_typer_app(folder, tmp_path):
    """Medians of CPU seconds, interleaved."""
    bare = tmp_path / "bare.py"
    bare.write_text(
        "import sys; sys.argv[0] = 'dreamctl'\nimport typer\napp = typer.Typer(name='dreamctl')\n"
        "@app.command()\ndef show(x: str): pass\n@app.command()\ndef two(x: int = 0): pass\napp()\n"
    )
    programs = {"bare": (str(bare),), "dreamctl": ("-c", PROGRAM)}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(7):
        for name, program in programs.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            ask("dreamctl show ", folder, program)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert statistics.median(times["dreamctl"]) - statistics.median(times["bare"]) < 0.2, times

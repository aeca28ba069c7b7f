"""The runs of a home from Python: the same numbers as in the store and in what the commands print."""

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from benchmarks.synthetic import WORLDS, fill
from dreamctl.api import Home
from dreamctl.errors import BadInput, UnknownRun
from dreamctl.jobs import sweeps
from dreamctl.jobs.sweeps import Request
from dreamctl.store import open_store
from tests.dreamctl.conftest import cli, quick_run

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
AGENT = "pendulum_swingup-dreamer-s0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Figure 7 for two tasks, invented (synthetic), and one real run."""
    folder = tmp_path_factory.mktemp("api")
    done = quick_run("--device", "cpu", home=folder / "runs")
    assert done.returncode == 0, done.stderr
    cells = sweeps.build("behavior", Request(tasks=("hopper_hop", "walker_walk"))).cells()
    fill(open_store(folder / "runs"), cells, WORLDS["confirming"], every=100_000)
    return folder


@pytest.fixture(scope="module")
def home(folder):
    return Home(folder / "runs")


def test_runs_are_rows_with_their_configs(home):
    table = home.runs()
    assert len(table) == 19 and table.id.is_unique
    some = home.runs("method=planet", "task=walker_walk")
    assert len(some) == 3 and set(some.task) == {"walker_walk"} and set(some.horizon) == {20}
    run = open_store(home.path).find(AGENT)
    row = table.set_index("name").loc[AGENT]
    assert (row.code, row.hardware) == (run.code, run.hardware) and set(table[table.name != AGENT].code) == {"unknown"}
    assert row.score == run.score and row.batch_length == 5 and row.status == "finished"
    assert row.created_at.timestamp() == pytest.approx(run.created_at)
    assert not len(home.runs("task=cheetah_run"))
    with pytest.raises(BadInput, match="did you mean 'horizon'"):
        home.runs("horizn=20")


def test_metrics_are_the_stored_points(home):
    store = open_store(home.path)
    run = store.find(AGENT)
    table = home.metrics(AGENT, ["train/return", "eval/return"])
    for name in table:
        assert [(step, value) for step, value in table[name].dropna().items()] == [
            (p.step, p.value) for p in store.scalars(run.id, name)
        ]
    assert set(home.metrics(run.id)) == set(store.last_scalars(run.id))
    with pytest.raises(BadInput, match="no metric nonsense"):
        home.metrics(AGENT, ["nonsense"])
    with pytest.raises(UnknownRun):
        home.metrics("nobody")


def test_evaluations_and_curves_agree(home):
    table = home.evaluations("task=walker_walk", "method=dreamer")
    assert len(table) == 3 * 20 and set(table.kind) == {"training"}
    curve = home.curves("task=walker_walk", by="method").set_index("method").loc["dreamer"]
    seeds = table.pivot(index="env_steps", columns="seed", values="mean")  # bins hold one evaluation each
    assert curve.env_steps.tolist() == seeds.index.tolist()
    assert curve["mean"].tolist() == pytest.approx(seeds.mean(axis=1).tolist())
    assert curve["std"].tolist() == pytest.approx(seeds.std(axis=1, ddof=0).tolist())
    assert set(curve.seeds) == {3}
    with pytest.raises(BadInput, match="differ in method"):
        home.curves("task=walker_walk", by=["task"])
    with pytest.raises(BadInput, match="unknown field 'nothing'"):
        home.curves(by=["nothing"])
    with pytest.raises(BadInput, match="one group has the tasks .*: add 'task' to by"):
        home.curves("method=dreamer", by=["method"])


def test_comparisons_are_those_of_the_command(home):
    table = home.compare("preset=paper", by=["method"])
    done = cli("compare", "--by", "method", "--preset", "paper", "--json", home=home.path)
    printed = {row["group"]: row for row in json.loads(done.stdout)}
    assert set(table.index) == set(printed)
    for name, row in table.iterrows():
        assert row["mean"] == pytest.approx(printed[name]["mean"])
        assert list(row.iqm_interval) == pytest.approx(printed[name]["iqm_interval"])


def test_figures_are_those_of_the_paper(home):
    figure = home.figure("figure7", preset="paper", tasks=["walker_walk"])
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "Dreamer"]
    curve = home.curves("task=walker_walk", by=["method"]).set_index("method").loc["dreamer"]
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx(curve["mean"].tolist())
    with pytest.raises(BadInput, match="did you mean 'figure7'"):
        home.figure("figur7")


def test_claims_are_judged(home):
    verdicts = home.claims(preset="paper")
    assert [v.claim.number for v in verdicts] == list(range(1, 20))
    with pytest.raises(BadInput, match="--preset"):
        home.claims()


def test_an_agent_plays_as_eval_does(home):
    agent = home.agent(AGENT)
    done = cli("eval", AGENT, "--episodes", "2", "--seed", "5", "--json", "--device", "cpu", home=home.path)
    assert done.returncode == 0, done.stderr
    assert [agent.play(5, index).score for index in (0, 1)] == pytest.approx(json.loads(done.stdout)["returns"])
    image = agent.environment.reset(0)
    agent.reset()
    first = agent(image)
    assert first.shape == (agent.environment.action_size,) and np.abs(first).max() <= 1
    agent(image)  # it remembers
    agent.reset()
    assert np.array_equal(agent(image), first)
    with pytest.raises(BadInput, match="has no checkpoint"):
        home.agent(home.runs("method=planet").name.iloc[0])


def test_the_page_runs_from_top_to_bottom(folder, monkeypatch):
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) == 6
    names: dict = {}
    printed = io.StringIO()
    with redirect_stdout(printed):
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    assert "planet 2000000" in printed.getvalue() and (folder / "figure7.png").is_file()
    assert names["score"] >= 0

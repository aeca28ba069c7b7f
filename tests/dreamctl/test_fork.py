"""`dreamctl run --from RUN --checkpoint WHICH`: what a fork begins with, keeps, may change and outlives."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from agent import checkpoints
from agent.config import make
from agent.dreamer import Optimizer
from dreamctl.errors import BadInput, BadRecord
from dreamctl.jobs import forking, launch, worker
from dreamctl.results import costs, curves, selection
from dreamctl.results.cells import Choice, must_agree
from dreamctl.store import open_store, pages
from tests.agent.test_training import assert_same
from tests.dreamctl.conftest import spec, typed


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with one run, of 240 environment steps and checkpoints at 160 and 240."""
    store = open_store(tmp_path_factory.mktemp("home"))
    run = launch.submit(store, replace(spec(updates="2"), name="whole"))
    assert worker.work(store, run.id, "cpu").status == "finished"
    return store.home


def forked(home, *arguments):
    done = typed("run", "--from", "whole", *arguments, "--inline", "--json", "-q", home=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parameters(store, run):
    return checkpoints.load(store.file(run, store.checkpoints(run)[-1].path))["agent"]


def test_a_fork_without_changes_does_what_its_parent_did(home):
    """The oracle of everything that is taken over: parameters, moments of Adam, replay, counters."""
    store = open_store(home)
    fork, parent = forked(home, "--checkpoint", "160"), store.find("whole")
    assert (fork["name"], fork["env_steps"]) == ("pendulum_swingup-dreamer-fork-s0", 240)
    assert fork["digest"] != parent.digest
    assert_same(parameters(store, fork["id"]), parameters(store, parent.id))
    (evaluation,) = store.evaluations(fork["id"])  # what came before is the parent's
    assert evaluation.returns == store.evaluations(parent.id)[-1].returns


def test_a_fork_has_its_own_seed_and_rates(home):
    store = open_store(home)
    fork = forked(home, "--checkpoint", "latest", "--seed", "7", "--set", "steps=320", "--set", "action_lr=0.5")
    assert "there steps=240, action_lr=5e-05" in " ".join(typed("show", fork["id"], home=home).stdout.split())
    content = checkpoints.load(store.file(fork["id"], store.checkpoints(fork["id"])[-1].path))
    assert (content["seed"], content["config"].action_lr, content["updates"]) == (7, 0.5, 12)
    assert fork["score"] is not None and fork["env_steps"] == 320
    returns = [point.step for point in store.scalars(fork["id"], "train/return")]
    assert returns == [280, 320]
    mine, theirs = (store.file(i, "episodes/000006.npz") for i in (fork["id"], store.find("whole").id))
    assert mine.is_file() and not theirs.exists()  # what the fork plays is its own


def test_the_rate_of_a_fork_is_not_its_parents():
    """Of equal gradients Adam's step is the rate; checkpoints that torch.optim.Adam wrote hold their rate, too."""
    theirs, ours = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    old, new = torch.optim.Adam([theirs], 0.1), Optimizer([ours], 0.2, make("smoke"))
    theirs.grad = torch.ones(3)
    old.step()
    new.load_state_dict(old.state_dict())
    new.step(ours.sum())
    assert ours.tolist() == pytest.approx([0.8] * 3)


def test_a_stopped_fork_goes_on_and_outlives_its_parent(home, tmp_path):
    parent = open_store(home).find("whole")
    away, archive = tmp_path / "away", tmp_path / "runs.tar"
    assert typed("export", "whole", archive, "--replay", home=home).returncode == 0
    assert typed("import", archive, home=away).returncode == 0
    store = open_store(away)
    plan = forking.plan(store, store.find("whole"), "160", replace(spec(updates="2"), name="fork"))
    fork = launch.submit(store, plan)
    assert (fork.env_steps, fork.updates) == (160, 4)
    assert typed("rm", "whole", "--yes", home=away).returncode == 0
    assert worker.work(store, fork.id, "cpu").status == "finished"
    assert_same(parameters(store, fork.id), parameters(open_store(home), parent.id))
    longer = typed("run", "--resume", "fork", "--set", "steps=280", "--inline", home=away)
    assert longer.returncode == 0 and store.get(fork.id).env_steps == 280

    shown = typed("show", "fork", home=away).stdout
    assert f"whole ({parent.id}), seed 0, at 160 env steps" in " ".join(shown.split())
    origin = json.loads(typed("show", "fork", "--json", home=away).stdout)["parent"]
    assert (origin["id"], origin["env_steps"], origin["updates"]) == (parent.id, 160, 4)
    assert pages.of_run(store.get(fork.id))["fork_of"] == f"whole ({parent.id}) at 160 env steps"
    assert typed("export", "fork", tmp_path / "fork.tar", home=away).returncode == 0
    assert typed("import", tmp_path / "fork.tar", home=tmp_path / "third").returncode == 0
    assert open_store(tmp_path / "third").find("fork").parent == origin


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "160", "--set", "depth=8"], "depth: a fork keeps its parent's"),
        (["--checkpoint", "160", "--set", "action_repeat=2"], "action_repeat: a fork keeps its parent's"),
        (["--checkpoint", "160", "--set", "method=planet", "--set", "returns=rewards"], "method: a fork keeps"),
        (["cartpole_swingup", "--checkpoint", "160"], "task: a fork keeps its parent's"),
        (["--checkpoint", "latest"], "at 240 environment steps already"),
        (["--checkpoint", "80"], "160"),  # those that there are
    ],
)
def test_what_cannot_be_forked_is_said_in_one_line(home, arguments, said):
    before = len(open_store(home).runs())
    done = typed("run", "--from", "whole", *arguments, "--inline", home=home)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert len(open_store(home).runs()) == before


def test_checkpoint_needs_a_run(home):
    done = typed("run", "pendulum_swingup", "--checkpoint", "160", home=home)
    assert done.returncode == 2 and "--from RUN" in done.stderr


def test_a_run_without_its_episodes_is_not_forked(home, tmp_path):
    archive, away = tmp_path / "runs.tar", tmp_path / "away"
    assert typed("export", "whole", archive, "--checkpoints", home=home).returncode == 0
    assert typed("import", archive, home=away).returncode == 0
    done = typed("run", "--from", "whole", "--checkpoint", "160", home=away)
    assert done.returncode == 2 and "episodes" in done.stderr


def test_a_fork_that_has_lost_its_beginning_fails_by_name(home):
    store = open_store(home)
    plan = forking.plan(store, store.find("whole"), "160", spec(updates="2"))
    fork = launch.submit(store, plan)
    for checkpoint in store.checkpoints(fork.id):
        path = store.file(fork.id, checkpoint.path)
        path.unlink()  # a link of its own: the parent keeps the file
    assert all(store.file(store.find("whole").id, c.path).is_file() for c in store.checkpoints(store.find("whole").id))
    ended = worker.work(store, fork.id, "cpu")
    assert ended.status == "failed" and "forked" in ended.reason


def test_a_checkpoint_that_goes_while_it_is_forked_leaves_no_half_a_run(home, tmp_path):
    store = open_store(tmp_path / "home")
    shutil.copytree(home, store.home, dirs_exist_ok=True)
    plan = forking.plan(store, store.find("whole"), "160", spec(updates="2"))
    store.file(store.find("whole").id, "episodes/000003.npz").unlink()
    before = len(store.runs())
    with pytest.raises(BadInput, match="fork it again"):
        launch.submit(store, plan)
    assert len(store.runs()) == before and len(list(store.home.glob("*/checkpoints"))) == before


def test_figures_take_no_fork_for_a_run_from_scratch(home, tmp_path):
    """Its learning curve is another one, though its config may be equal; its hours and updates are its own."""
    store = open_store(home)
    fork = store.get(forked(home, "--checkpoint", "160", "--seed", "3")["id"])
    chosen = selection.select(store, [], Choice())
    assert [run.name for run in chosen] == ["whole"]
    with pytest.raises(BadInput, match="forked"):
        must_agree([store.find("whole"), fork])
    done = typed("plot", "curves", "whole", fork.id, "--out", tmp_path, "--format", "png", home=home)
    assert done.returncode == 0, done.stderr
    assert "forked at 160" in (tmp_path / "curves.csv").read_text()
    steps, updates = curves.progress(store, fork, "updates")
    assert (steps.tolist(), updates.tolist()) == ([160, 200, 240], [4, 6, 8])
    assert curves.progress(store, fork, "hours")[0].tolist() == [160, 200, 240]
    assert curves.progress(store, fork, "hours")[1].tolist()[-1] == pytest.approx(fork.work_seconds / 3600)
    assert costs.rates([fork])[fork.id] == pytest.approx(80 / fork.work_seconds)


def test_an_origin_that_is_none_is_refused(home, tmp_path):
    shutil.copytree(home, tmp_path / "home")
    store = open_store(tmp_path / "home")
    with store._write() as session:
        session.connection().exec_driver_sql("UPDATE run SET parent = '{\"id\": 1}'")
    with pytest.raises(BadRecord, match="the origin of a fork"):
        store.runs()

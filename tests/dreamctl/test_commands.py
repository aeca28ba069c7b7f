"""Commands on stored runs: what they print, where, and what they change."""

import json
import os
import re
import subprocess
import sys
from unittest.mock import patch

import pytest
from rich.console import Console

from dreamctl.cli.common import duration, progress, sparkline, speed, steps
from dreamctl.jobs.launch import submit
from dreamctl.store import open_store
from tests.dreamctl.conftest import cli, spec, typed


@pytest.fixture
def home(tmp_path):
    """Three runs: one finished with evaluations, one failed, one queued; the last two in a sweep."""
    store = open_store(tmp_path / "home")
    runs = [submit(store, spec(0)), submit(store, spec(1, horizon="7")), submit(store, spec(0, method="planet"))]
    attempt = store.claim(runs[0].id, "cpu")
    for step, mean in ((80, 10.0), (160, 300.0), (240, 200.0)):
        kind = "final" if step == 240 else "training"
        store.record_evaluation(runs[0].id, attempt=attempt, kind=kind, env_steps=step, seed=0, returns=[mean])
    store.finish(runs[0].id, attempt, "finished")
    store.finish(runs[1].id, store.claim(runs[1].id, "cpu"), "failed", "FloatingPointError: model/loss is nan")
    store.enroll(store.open_sweep("mine", {}, 3).id, [run.id for run in runs[1:]])
    return store.home


FINISHED, FAILED, QUEUED = (f"pendulum_swingup-{rest}" for rest in ("dreamer-s0", "dreamer-s1", "planet-s0"))


def test_what_show_prints_is_what_run_takes(home, tmp_path):
    """The same run again, recognised as such; single fields, seed and task may differ."""
    both = typed("show", FAILED, "--config", "--json", home=home)
    assert both.returncode == 2 and "leave out one" in both.stderr
    printed = typed("show", FAILED, "--config", home=home).stdout
    file = tmp_path / "run.yaml"
    file.write_text(printed)
    from dreamctl.jobs import spec as specs

    store = open_store(home)
    for basis in (specs.basis(file, None, None), specs.basis(None, store.find(FAILED), None)):
        assert specs.wanted(basis, None, None, []).digest == store.find(FAILED).digest
        changed = specs.wanted(basis, "cup_catch", 4, ["horizon=9"])
        assert (changed.task, changed.seed, changed.config.horizon) == ("ball_in_cup_catch", 4, 9)
        assert changed.preset == "smoke" and changed.config.steps == 240


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("task: walker_run\nconfg: {}", "may hold only the keys task, seed, preset, config"),
        ("- 1", "may hold only the keys"),
        ("task: [walker_run]", "task cannot be ['walker_run']"),
        ("task: walker_run\nconfig: {horizn: 3}", "did you mean 'horizon'"),
        ("task: walker_run\nconfig: {horizon: [3]}", "horizon must be a whole number"),
        ("{", "is not YAML"),
        ("preset: smoke", "which task?"),
        ("task: walker_run\nseed: true", "seed cannot be 'true'"),
    ],
)
def test_a_bad_config_file_is_one_line(tmp_path, content, message):
    (tmp_path / "run.yaml").write_text(content)
    done = typed("run", "--config", tmp_path / "run.yaml", home=tmp_path / "home")
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("--config", "none.yaml"), "cannot read none.yaml: No such file"),
        (("--from", "nothing"), "no run 'nothing'"),
        (("--from", FINISHED, "--preset", "tiny"), "have a preset already"),
        (("--from", FINISHED, "--config", "x"), "give one of them"),
        (("--resume", FINISHED, "--from", FINISHED), "--resume continues a run as it is"),
    ],
)
def test_what_cannot_be_run_from(home, command, message):
    done = typed("run", *command, home=home)
    assert done.returncode == 2 and message in done.stderr


def test_diff_tells_the_config_first(home):
    found = json.loads(typed("diff", FINISHED, QUEUED, "--json", home=home).stdout)
    assert list(found) == ["config", "origin", "result"]
    assert found["config"] == {
        "method": ["dreamer", "planet"],
        "returns": ["lambda", "rewards"],
        "horizon": [5, 12],
    }
    assert found["result"]["score"] == [200.0, None] and found["origin"]["device"] == ["cpu", None]
    shown = typed("diff", FINISHED, QUEUED, home=home).stdout
    assert shown.index("config") < shown.index("horizon") < shown.index("origin") < shown.index("result")
    assert "config: the same" in typed("diff", FINISHED, FINISHED, home=home).stdout


def test_show_has_the_curve_what_is_not_the_presets_and_what_to_do_next(home):
    shown = typed("show", FINISHED, home=home).stdout
    assert "▁█▆ 10.0 to 300.0, until 240 env steps" in shown
    assert "smoke, steps=240, episode_length=40, updates=3" in shown
    assert f"dreamctl plot curves {FINISHED} --home {home}" in shown
    failed = typed("show", FAILED, home=home).stdout
    assert "failed: FloatingPointError: model/loss is nan" in failed and f"dreamctl run --resume {FAILED}" in failed
    planet = typed("show", QUEUED, home=home).stdout
    assert "smoke, method=planet, steps=240" in planet and "returns=" not in planet.replace("\n", "")


def test_names_tags_and_notes(home):
    store = open_store(home)
    run = store.find(FINISHED)
    assert json.loads(typed("tag", "good", FINISHED, FAILED, "--json", home=home).stdout) == {
        FINISHED: ["good"],
        FAILED: ["good"],
    }
    typed("tag", "kept", FINISHED, home=home)
    typed("tag", "good", FINISHED, "--remove", home=home)
    typed("note", FINISHED, "it stands, then falls", home=home)
    assert typed("rename", FINISHED, "best", home=home).returncode == 0
    stored = store.get(run.id)
    assert (stored.name, stored.tags, stored.note) == ("best", ["kept"], "it stands, then falls")
    assert typed("note", "best", home=home).stdout == "it stands, then falls\n"
    shown = typed("show", "best", home=home).stdout
    assert "kept" in shown and "it stands, then falls" in shown
    typed("note", "best", "", home=home)
    assert store.get(run.id).note is None and typed("note", "best", home=home).stdout == "\n"
    taken = typed("rename", "best", FAILED, home=home)
    assert taken.returncode == 2 and "choose another name" in taken.stderr
    assert "cannot name a run" in typed("rename", "best", "a/b", home=home).stderr


def test_open_prints_where_things_are(home):
    store = open_store(home)
    run = store.find(FINISHED)
    assert typed("open", FINISHED, home=home).stdout.strip() == str(store.folder(run.id))
    assert "has no video yet" in typed("open", FINISHED, "--video", home=home).stderr
    for name in ("a.gif", "b.gif"):
        (store.folder(run.id) / name).touch()
        store.record_artifact(run.id, path=name, kind="video")
    assert typed("open", FINISHED, "--video", home=home).stdout.strip().endswith("b.gif")
    assert "is not in MLflow yet" in typed("open", FINISHED, "--mlflow", home=home).stderr


def test_several_runs_are_stopped_retried_and_removed_by_name_or_by_what_they_are(home):
    store = open_store(home)
    assert "which runs?" in typed("rm", home=home).stderr
    assert "no matching run" in typed("rm", "--where", "horizon=99", home=home).stderr
    done = typed("retry", "--where", "status=failed", "--json", home=home)
    assert [run["name"] for run in json.loads(done.stdout)] == [FAILED] and store.find(FAILED).status == "queued"
    assert "no run of mine has failed" in typed("retry", "mine", home=home).stderr
    assert "is finished, not running" in typed("stop", FINISHED, home=home).stderr
    held = typed("stop", QUEUED, FINISHED, "--json", home=home)
    assert [run["name"] for run in json.loads(held.stdout)] == [QUEUED] and store.find(QUEUED).status == "stopped"
    assert f"put it back with: dreamctl retry {QUEUED}" in held.stderr
    store.claim(store.find(FAILED).id, "cpu")
    stopped = typed("stop", FAILED, FINISHED, "--json", home=home)
    assert [run["name"] for run in json.loads(stopped.stdout)] == [FAILED]
    assert "still running: " in typed("rm", "mine", "--yes", home=home).stderr
    store.finish(store.find(FAILED).id, 2, "stopped")
    typed("rm", store.find(FINISHED).id[:7], QUEUED, "--yes", home=home)
    assert [run.name for run in store.runs()] == [FAILED]
    assert typed("rm", "mine", "--yes", home=home).returncode == 0
    assert store.runs() == [] and store.sweeps() == []


def test_a_sweeps_runs_that_another_one_shares_stay(home):
    store = open_store(home)
    store.enroll(store.open_sweep("other", {}, 3).id, [store.find(QUEUED).id])
    typed("rm", "mine", "--yes", home=home)
    assert {run.name for run in store.runs()} == {FINISHED, QUEUED}


def test_quiet_says_nothing_but_results(home):
    loud, quiet = (typed("tag", "x", FINISHED, *more, home=home) for more in ((), ("-q",)))
    assert loud.stderr and not quiet.stderr and not loud.stdout and not quiet.stdout
    assert typed("show", FINISHED, "--config", "--quiet", home=home).stdout.startswith("task: pendulum_swingup\n")


def test_every_command_takes_quiet_and_h_and_all_that_print_data_take_json():
    from typer.main import get_command

    from dreamctl.cli import app

    commands = get_command(app).commands
    for name, command in {**commands, **commands["plot"].commands}.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert name == "plot" or "--quiet" in options, name
        assert name in ("plot", "ui", "report") or "--json" in options, name
    for command in ((), ("run",), ("plot", "curves")):
        assert typed(*command, "-h").stdout.startswith("Usage:")


def test_a_closed_pipe_ends_a_command_without_a_word(home):
    command = f"{sys.executable} -m dreamctl methods | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode in (0, 141) and done.stderr == ""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([sys.executable, "-m", "dreamctl", "methods"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (process.returncode, process.stderr) == (141, b"")


def test_no_colour_where_it_is_not_wanted(home):
    """Through a pseudo-terminal, as a terminal would get it."""
    ours, theirs = os.openpty()
    environment = os.environ | {"NO_COLOR": "1", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "dreamctl", "show", FINISHED, "--home", str(home)]
    subprocess.run(command, stdout=theirs, stderr=theirs, env=environment, check=True)
    os.close(theirs)
    assert b"\x1b[3" not in os.read(ours, 65536)
    os.close(ours)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0"), (950, "950"), (1000, "1k"), (3508, "3.51k"), (300_000, "300k"), (999_499, "999k")),
        *((999_500, "1M"), (1_250_000, "1.25M"), (2_000_000, "2M"), (1_000_000_000, "1G")),
    ],
)
def test_steps_are_rounded_to_three_digits(count, text):
    assert steps(count) == text


def test_numbers_for_people():
    assert progress(3508, 300_000) == "3.51k/300k"
    assert [speed(rate) for rate in (None, 0.843, 9.96, 93.4, 1234.0)] == ["-", "0.84/s", "10/s", "93/s", "1234/s"]
    assert [duration(s) for s in (5, 123, 3723, 186_000)] == ["5s", "2m 03s", "1h 02m", "2d 3h"]
    assert sparkline([0, 0, 0]) == "▄▄▄" and sparkline([0, 1000]) == "▁█" and len(sparkline(range(200))) == 40


def test_a_process_prints_bars_where_only_ascii_will_do(home):
    done = cli("show", FINISHED, home=home, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "10.0 to 300.0" in done.stdout


def test_ls_narrows_sorts_and_shows_fields(home):
    def names(*options):
        return [run["name"] for run in json.loads(typed("ls", "--json", *options, home=home).stdout)]

    assert names() == [FINISHED, FAILED, QUEUED]
    assert names("--method", "planet") == [QUEUED] and names("--where", "horizon=7") == [FAILED]
    assert names("--sweep", "mine") == [FAILED, QUEUED] and names("--sweep", "mine", "--status", "queued") == [QUEUED]
    assert "no sweep 'yours'" in typed("ls", "--sweep", "yours", home=home).stderr
    assert names("--sort", "horizon") == [FINISHED, FAILED, QUEUED]
    assert names("--sort", "-horizon") == [QUEUED, FAILED, FINISHED]
    assert names("--sort", "score") == [FAILED, QUEUED, FINISHED]  # those without one first
    assert names("--task", "Pendulum Swingup", "--status", "failed") == [FAILED]
    shown = typed("ls", "--columns", "name,horizon,score", "--sort", "-horizon", "--limit", "2", home=home)
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["name", "horizon", "score"],
        [FAILED, "7", "-"],
        [FINISHED, "5", "200"],
    ]
    assert "1 more run not shown" in shown.stderr
    assert "did you mean 'horizon'" in typed("ls", "--columns", "horizn", home=home).stderr
    assert "did you mean 'score'" in typed("ls", "--sort", "-scoer", home=home).stderr
    fields = json.loads(typed("ls", "--json", "--columns", "seed,horizon", home=home).stdout)
    assert fields == [{"seed": 0, "horizon": 5}, {"seed": 1, "horizon": 7}, {"seed": 0, "horizon": 12}]


def test_ls_writes_moments_durations_and_long_names_for_people():
    shown = typed("ls", "--recorded", "--columns", "name,work_seconds,created_at").stdout
    assert re.search(r"walker_stand-dreamer-300k-s0 +48m 01s +\d{4}-\d\d-\d\d \d\d:\d\d", shown)
    with patch("dreamctl.cli.ls.console", return_value=Console(width=80)):
        narrow = typed("ls", "--recorded").stdout
    assert "walker_stand-dreamer-   " in narrow and "\n          contrastive-s0" in narrow  # at a hyphen
    assert all(len(line) <= 80 for line in narrow.splitlines())


def test_ls_shows_seeds_times_and_why_a_run_failed(home):
    shown = typed("ls", home=home).stdout
    assert "SEED" in shown and "TIME" in shown and "FloatingPointError: model/loss is nan" in shown
    assert "0s" in shown.splitlines()[1]

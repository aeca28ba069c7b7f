"""The front: start-up time, what is imported, errors of one line that write nothing."""

import resource
import sqlite3
import statistics
import subprocess
import sys
from importlib import metadata

import pytest

from dreamctl.jobs.launch import submit
from dreamctl.store import open_store
from tests.dreamctl.conftest import cli, spec, typed

HEAVY = ("torch", "mlflow", "pandas", "matplotlib", "dm_control", "mujoco", "alembic", "numpy")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with one queued run."""
    folder = tmp_path_factory.mktemp("home")
    submit(open_store(folder), spec())
    return folder


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["ls"], ["ls", "--json"], ["show", "pend"]])
def test_light_commands_import_nothing_heavy(home, command):
    where = [] if "--help" in command else ["--home", str(home)]
    code = (
        "import sys; from dreamctl.cli import main\n"
        "try: main()\n"
        f"finally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command, *where], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", [[], ["plot"]])
def test_no_summary_of_a_command_is_cut_off(command):
    done = cli(*command, "--help", COLUMNS="80", TERMINAL_WIDTH="80")
    lines = done.stdout.split("Commands:")[1].splitlines()
    assert len(lines) > 10 and not [line for line in lines if line.endswith("...")]


def test_help_imports_no_database():
    code = "import sys; import dreamctl.cli; print([m for m in ('sqlalchemy', 'sqlite3', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_help_takes_little_more_than_a_bare_typer_app(tmp_path):
    """Medians of CPU seconds, runs interleaved. 28 commands against two: 1.7 to 2.0 times as long; a database's import
    alone would make it seven times."""
    bare = tmp_path / "bare.py"
    bare.write_text(
        "import typer\napp = typer.Typer(rich_markup_mode=None)\n"
        "@app.command()\ndef one(x: int = 0): pass\n@app.command()\ndef two(x: int = 0): pass\napp()\n"
    )
    commands = {"bare": [str(bare)], "dreamctl": ["-m", "dreamctl"]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(7):
        for name, command in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command, "--help"], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert statistics.median(times["dreamctl"]) <= 2.4 * statistics.median(times["bare"]), times


BAD = [
    (["run", "walker_wlk"], "did you mean 'walker_walk'"),
    (["run"], "which task?"),
    (["run", "walker_walk", "--preset", "tny"], "did you mean 'tiny'"),
    (["run", "walker_walk", "--preset", ""], "unknown preset ''"),
    (["ui"], "no runs in"),
    (["run", "walker_walk", "--set", "horizn=3"], "did you mean 'horizon'"),
    (["run", "walker_walk", "--set", "horizon=1"], "horizon must be at least 2, not 1"),
    (["run", "walker_walk", "--set", "model_lr=fast"], "model_lr must be a number"),
    (["run", "walker_walk", "--set", "horizon"], "--set takes key=value"),
    (["run", "walker_walk", "--seed", "-1"], "seed must be between"),
    (["run", "walker_walk", "--seed", "2147483648"], "seed must be between"),
    (["run", "walker_walk", "--seed", "x"], "--seed"),
    (["run", "walker_walk", "--name", "a/b"], "cannot name a run"),
    (["run", "walker_walk", "--device", "cuda:7"], "device 'cuda:7' asked for"),
    (["run", "walker_walk", "--device", "tpu"], "unknown device 'tpu'"),
    (["run", "--resume", "nothing"], "no run 'nothing'"),
    (["run", "walker_walk", "--resume", "x"], "--resume continues a run as it is"),
    (["run", "walker_walk", "--set", "method=plnet"], "did you mean 'planet'"),
    (["run", "walker_walk", "--set", "method=no_value", "--set", "returns=lambda"], "returns must be rewards"),
    (["run", "walker_walk", "--set", "elites=2000"], "elites 2000 exceeds candidates 1000"),
    (["show", "nothing"], "no run 'nothing'"),
    (["eval", "nothing"], "no run 'nothing'"),
    (["plot", "curves", "nothing"], "no run 'nothing'"),
    (["stop", "nothing"], "no run 'nothing'"),
    (["ls", "--status", "gone"], "unknown status 'gone'"),
    (["ls", "--bogus"], "--bogus"),
    (["bogus"], "bogus"),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[" ".join(command) for command, _ in BAD])
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, command, message):
    where = [] if command == ["bogus"] else ["--home", str(tmp_path / "home")]
    done = typed(*command, *where)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_that_of_the_package():
    done = typed("--version")
    assert (done.returncode, done.stdout) == (0, f"dreamctl {metadata.version('dreamctl')}\n")


def test_an_unwritable_home_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    done = typed("run", "walker_walk", home=tmp_path / "file" / "home")
    assert done.returncode == 2 and "choose another with --home" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_home_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    done = typed("ls", home=tmp_path / "file")
    assert done.returncode == 2 and "is not a folder" in done.stderr and len(done.stderr.splitlines()) == 1


def test_ls_shows_the_newest(tmp_path):
    runs = [submit(open_store(tmp_path), spec(seed)) for seed in range(3)]
    done = typed("ls", "--limit", "2", home=tmp_path)
    listed = done.stdout + done.stderr
    assert "1 older run not shown" in listed and runs[2].id in listed and runs[0].id not in listed
    assert "older" not in typed("ls", "--limit", "3", home=tmp_path).stderr


def test_stored_text_is_printed_as_it_is(tmp_path):
    store = open_store(tmp_path)
    run = submit(store, spec())
    store.finish(run.id, store.claim(run.id, "cpu"), "failed", "KeyError: [/x] [bold]")
    shown = typed("show", run.name, home=tmp_path)
    assert shown.returncode == 0 and "KeyError: [/x] [bold]" in shown.stdout


def test_a_taken_name_and_a_run_without_checkpoint(home):
    (run,) = open_store(home).runs()
    done = cli("run", "walker_walk", "--name", run.name, home=home)
    assert done.returncode == 2 and "choose another --name" in done.stderr
    done = cli("eval", run.name, home=home)
    assert done.returncode == 2 and "has no checkpoint yet" in done.stderr
    done = cli("plot", "curves", run.name, home=home)
    assert done.returncode == 2 and "evaluated" in done.stderr
    assert [r.id for r in open_store(home).runs()] == [run.id]


def test_the_home_comes_from_the_environment(home):
    assert "queued" in cli("ls", DREAMCTL_HOME=str(home)).stdout


def test_every_command_and_option_is_documented():
    from typer.main import get_command

    from dreamctl.cli import app

    def walk(command, path):
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", None), (path, parameter.name)
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}")

    walk(get_command(app), "dreamctl")


def test_a_database_that_fails_is_one_line(tmp_path):
    store = open_store(tmp_path)
    run = submit(store, spec())
    with sqlite3.connect(tmp_path / "dreamctl.db") as database:
        database.execute("DROP TABLE evaluation")
    database.close()
    done = cli("show", run.name, home=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "dreamctl: the run database failed (no such table: evaluation)" in done.stderr

"""Rows and files that no dreamctl has written: one line, whatever is in them, and nothing that a terminal obeys."""

import itertools
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from dreamctl.errors import BadInput
from dreamctl.jobs import sweeps
from dreamctl.jobs.launch import submit
from dreamctl.jobs.scheduler import enroll
from dreamctl.store import Point, open_store, provenance
from dreamctl.store.models import Attempt, Base, Look, Registration
from tests.dreamctl.conftest import QUICK, made_older, spec, typed

ESCAPE = "\x1b[2J\x1b]0;owned\x07"
# values that SQLite keeps in any column
STRANGE = [
    None,
    "",
    ESCAPE,
    b"\xff\x00",
    "null",
    "{",
    "[1]",
    '{"horizon": {}}',
    "[" * 5000,
    -1,
    2**62,
    1e308,
    "9" * 5000,
]
STRESS = "STRESS" in os.environ  # try all cases
READING = (["ls"], ["ls", "--json"], ["status"], ["status", "--json"], ["show", "first"], ["show", "first", "--json"])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a row in every table."""
    store = open_store(tmp_path_factory.mktemp("stored"))
    sweep = enroll(store, "mine", [spec()], {"parts": []}, max_attempts=2)
    run = store.members(sweep.id)[0]
    attempt = store.claim(run.id, "cpu")
    store.heartbeat(run.id, attempt, env_steps=80, updates=1, scalars=[Point("train/return", 80, 1.0, 1.0)])
    (store.folder(run.id) / "a.pt").write_bytes(b"x")
    (store.folder(run.id) / "log.txt").write_text(f"all is well{ESCAPE}\n\tyes\n")
    store.record_checkpoint(run.id, attempt, path="a.pt", env_steps=80, updates=1, bytes=1, sha256="x")
    store.record_evaluation(run.id, kind="training", env_steps=80, seed=0, returns=[1.0], attempt=attempt)
    store.finish(run.id, attempt, "failed", "no reason")
    store.mark_mirrored(run.id, {"run": "x"})
    with store._write() as session:
        session.connection().exec_driver_sql("UPDATE run SET name = 'first'")
        session.add(Attempt(run_id=run.id, number=attempt, started_at=1.0, env_steps=0, code="3f2a", packages={}))
        session.add(Registration(sweep_id=sweep.id, version=1, content={}, created_at=1.0, runs=0))
        session.add(Look(sweep_id=sweep.id, number=0, seeds=1, version=1, judged_at=1.0, answers=[]))
    return store.home


@pytest.mark.parametrize("table", [table.name for table in Base.metadata.sorted_tables])
def test_a_row_of_any_content_is_no_traceback(home, table):
    """Every column with some of the strange values and reading commands; STRESS=1 in the environment tries them all."""
    everything = list(itertools.product(Base.metadata.tables[table].columns, STRANGE, READING))
    for column, value, command in everything if STRESS else everything[::17]:
        with sqlite3.connect(home / "dreamctl.db", isolation_level=None) as database:
            before = database.execute(f'SELECT "{column.name}" FROM "{table}"').fetchone()
            try:
                database.execute(f'UPDATE "{table}" SET "{column.name}" = ?', [value])
            except sqlite3.IntegrityError:  # NOT NULL
                continue
            done = typed(*command, home=home)
            database.execute(f'UPDATE "{table}" SET "{column.name}" = ?', before)
        database.close()
        assert done.returncode in (0, 2), (column.name, value, command)
        assert done.returncode == 0 or len(done.stderr.splitlines()) == 1, (column.name, value, done.stderr)
        assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout, (column.name, command)
    assert typed("show", "first", home=home).returncode == 0


@pytest.mark.parametrize(
    "change",
    ["preset = 'unheard'", "config = 'null'", "config = 'no JSON'", "tags = 'null'", 'config = \'{"horizon": "far"}\''],
)
def test_rows_that_were_tracebacks(store, change):
    run = submit(store, spec())
    with sqlite3.connect(store.home / "dreamctl.db") as database:
        database.execute(f"UPDATE run SET {change}")
    database.close()
    for command in ("show", "eval", "logs"):
        done = typed(command, run.name, home=store.home)
        assert done.returncode in (0, 2) and len(done.stderr.splitlines()) <= 1, done.stderr
    done = typed("sync", home=store.home)
    assert done.returncode in (0, 2)


def test_a_status_that_is_none_is_one_line(store):
    run = submit(store, spec())
    with sqlite3.connect(store.home / "dreamctl.db") as database:
        database.execute("UPDATE run SET status = 'gone'")
    database.close()
    settings = [part for item in QUICK for part in ("--set", item)]
    sweep = ["sweep", "--tasks", "pendulum_swingup", "--preset", "smoke", "--seeds", "1", *settings, "--dry-run"]
    for command in (sweep, ["show", run.id], ["ls"]):
        done = typed(*command, home=store.home)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "'gone'" in done.stderr


def test_a_config_that_is_none_does_not_stop_an_upgrade(store):
    """The run with it is told when it is read; the others are as before."""
    bad, good = submit(store, spec(1)), submit(store, spec(2))
    store._engine.dispose()
    with closing(sqlite3.connect(store.home / "dreamctl.db")) as database, database:
        made_older(database.execute, "0002")
        database.execute("UPDATE run SET config = '[1]' WHERE id = ?", [bad.id])
    assert open_store(store.home).get(good.id).config == good.config
    done = typed("show", bad.id, home=store.home)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "an object should be" in done.stderr


@pytest.mark.parametrize("plan", ["{}", '{"parts": 3}', '{"parts": [{}]}', '{"parts": [{"tasks": 1}]}', "[]", "null"])
def test_a_stored_plan_of_any_content_is_one_line(store, plan):
    enroll(store, "mine", [spec()], {}, max_attempts=2)
    with sqlite3.connect(store.home / "dreamctl.db") as database:
        database.execute("UPDATE sweep SET spec = ?", [plan])
    database.close()
    done = typed("sweep", "mine", "--dry-run", home=store.home)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "damaged" in done.stderr


def test_stored_text_does_not_reach_the_terminal_as_commands(home, store):
    assert "all is well\\x1b[2J" in typed("logs", "first", home=home).stdout
    run = submit(store, spec(seed=3))
    with sqlite3.connect(store.home / "dreamctl.db") as database:
        database.execute("UPDATE run SET name = ?, tags = ?", [f"a{ESCAPE}", json.dumps([f"t{ESCAPE}", "\u202eb"])])
    database.close()
    for command in (["ls"], ["show", run.id]):
        done = typed(*command, home=store.home)
        assert done.returncode == 0 and "\x1b" not in done.stdout and "a\\x1b[2J" in done.stdout.replace("\n", "")
    assert "t\\x1b[2J" in done.stdout and "\\u202eb" in done.stdout


HOSTILE = {
    "an alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in itertools.pairwise("abcdefghijkl")
    ) + "tasks: *l\n",
    "a bomb of grids": "grid: {horizon: &a [x,x,x,x,x,x,x,x,x], overlap: &b [*a,*a,*a], updates: [*b,*b,*b,*b]}",
    "a bomb of merges": "a: &a {x: 1}\n" + "".join(
        f"{b}: &{b} {{<<: [{','.join(['*' + a] * 9)}]}}\n" for a, b in itertools.pairwise("abcdefghijkl")
    ),
    "a circle": "tasks: &a [*a]",
    "many seeds": "seeds: 10000000",
    "many cells": "grid: {horizon: &a [" + ",".join(map(str, range(2, 90))) + "], updates: *a, n_step: *a}",
    "no UTF-8": b"tasks: [\xff\xfe]",
    "UTF-16": "tasks: [walker_walk]".encode("utf-16"),
    "nested deep": "tasks: " + "[" * 5000,
    "nested mappings": "".join(" " * i + "a:\n" for i in range(1000)),
    "a long number": "limit: " + "9" * 6000,
    "a long seed": "seeds: " + "9" * 6000,
    "a date": "seeds: 2020-13-45",
    "an object": "tasks: !!python/object/apply:os.system ['touch /tmp/owned']",
    "too large": "# " + "x" * (2 << 20),
    "a list": "[1, 2]", "nothing": "", "a text": "hello", "a null byte": b"tasks: [\0]", "tabs": "\ttasks:\n\t- x",
    "a nested value": "set: {steps: {a: b}}", "a nested name": "name: [a, b]", "an unhashable key": "? [a]\n: b",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_of_any_content_is_one_line(tmp_path, what):
    path = tmp_path / "mine.yaml"
    content = HOSTILE[what]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = typed("sweep", path, "--dry-run", home=tmp_path / "home")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and len(done.stderr) < 700, done.stderr[:1000]


BOMB = "\n".join(
    [
        "  - &a [x,x,x,x,x,x,x,x,x]",
        *(f"  - &{b} [{','.join(['*' + a] * 9)}]" for a, b in itertools.pairwise("abcdefghi")),
    ]
)
CONFIG_BOMBS = {f"a bomb as {key}": f"{key}:\n{BOMB}" for key in ("task", "seed", "preset", "config")} | {
    f"a bomb as config.{key}": f"task: walker_walk\nconfig:\n {key}:\n{BOMB}"
    for key in ("horizon", "method", "model_lr", "discount_weights", "nothing")
}
CONFIGS = (
    HOSTILE
    | CONFIG_BOMBS
    | {
        "a long number": "task: walker_walk\nseed: " + "9" * 6000,
        "a long value": "task: walker_walk\nconfig: {horizon: " + "9" * 6000 + "}",
        "nested deep": "config: " + "[" * 5000,
        "nested mappings": "config:\n" + "".join(" " * i + "a:\n" for i in range(1, 1000)),
        "a list of configs": "task: walker_walk\nconfig: [1]",
        "a list as method": "task: walker_walk\nconfig: {method: [dreamer]}",
    }
)


@pytest.mark.parametrize("what", CONFIGS)
def test_a_config_of_any_content_is_one_line(tmp_path, what):
    path = tmp_path / "mine.yaml"
    content = CONFIGS[what]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = typed("run", "--config", path, home=tmp_path / "home")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and len(done.stderr) < 700, done.stderr[:1000]
    assert not (tmp_path / "home").exists()


def test_a_bomb_takes_no_memory(tmp_path):
    """In 700 MB of address space, of which Python and the program take most."""
    plans = ("an alias bomb", "a bomb of grids", "a bomb of merges", "many seeds", "many cells")
    configs = ("a bomb as preset", "a bomb as config.method", "a bomb as config.discount_weights")
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))\n"
    code += "from dreamctl.cli import main; main()"
    file = tmp_path / "mine.yaml"
    for content, arguments in [
        *((HOSTILE[what], ("sweep", file, "--dry-run")) for what in plans),
        *((CONFIGS[what], ("run", "--config", file)) for what in configs),
    ]:
        file.write_text(content)
        command = [sys.executable, "-c", code, *arguments, "--home", tmp_path / "home"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr[-500:]


def test_the_largest_sweep_is_allowed():
    assert len(sweeps.Sweep(("walker_walk",), seeds=tuple(range(2000))).cells()) == 2000
    with pytest.raises(BadInput, match="20,001 runs"):
        sweeps.Sweep(("walker_walk",), seeds=tuple(range(20_001))).cells()


@pytest.mark.parametrize(
    "setting", ["steps=1e300", "steps=" + "9" * 6000, "horizon=2147483648", "model_lr=1e999", "steps=nan"]
)
def test_numbers_without_bounds(tmp_path, setting):
    done = typed("run", "walker_walk", "--set", setting, home=tmp_path / "home")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and len(done.stderr) < 300


def test_a_malformed_database_is_not_taken_for_a_full_disk(store):
    for seed in range(3):
        submit(store, spec(seed))
    with sqlite3.connect(store.home / "dreamctl.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((root,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'run'")
    database.close()
    store._engine.dispose()
    path = store.home / "dreamctl.db"
    content = bytearray(path.read_bytes())
    content[4096 * (root - 1) : 4096 * (root - 1) + 64] = b"\xff" * 64
    path.write_bytes(content)
    done = typed("ls", home=store.home)
    assert done.returncode == 2 and "damaged" in done.stderr and "disk full" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_uncommitted_changes_are_kept_up_to_a_bound_or_not_at_all(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    git("init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "code.py"))
    assert provenance._diff() == ""
    (tmp_path / "code.py").write_text("x = 2\n")
    assert "+x = 2" in provenance._diff()
    (tmp_path / "code.py").write_text("".join(f"x = {i}\n" for i in range(400_000)))
    found = provenance._diff()
    assert len(found) < 257 * 1024 and found.endswith("[cut off after 262144 bytes]\n")
    monkeypatch.setenv("DREAMCTL_GIT_DIFF", "0")
    assert "x = 2" not in provenance._diff() and "DREAMCTL_GIT_DIFF=0" in provenance._diff()

"""The run database: life cycle, concurrency with real processes, migrations, errors."""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from sqlalchemy import Boolean, MetaData, String, create_engine, inspect, text

from agent.config import Config
from dreamctl.errors import BadInput, HomeError, StaleAttempt, UnknownRun
from dreamctl.jobs.launch import submit
from dreamctl.results import costs
from dreamctl.store import Point, open_store, pages
from dreamctl.store.database import RECORDED, refuse_network
from dreamctl.store.identity import digest
from dreamctl.store.models import HEAD, Base
from tests.dreamctl.conftest import fresh_database, made_older, spec, typed


def test_life_cycle(store):
    run = submit(store, spec())
    assert (run.status, run.name, run.attempt) == ("queued", "pendulum_swingup-dreamer-s0", 0)
    attempt = store.claim(run.id, "cpu")
    running = store.get(run.id)
    assert (attempt, running.status, running.pid, running.device) == (1, "running", os.getpid(), "cpu")
    store.record_evaluation(run.id, kind="training", env_steps=80, seed=0, returns=[1, 3], attempt=attempt)
    store.record_evaluation(run.id, kind="final", env_steps=240, seed=0, returns=[1, 1], attempt=attempt)
    store.finish(run.id, attempt, "finished")
    done = store.get(run.id)
    assert (done.status, done.score, done.best_score) == ("finished", 1.0, 2.0)
    assert done.started_at <= done.finished_at
    assert done.packages["torch"] and done.config["steps"] == 240
    with pytest.raises(BadInput, match="it is finished"):
        store.claim(run.id, "cpu")


def test_time_at_work_is_the_sum_over_attempts(store, monkeypatch):
    """From claim to end, and of a worker that died to its last sign of life; not what lies between."""
    run = submit(store, spec())

    def at(seconds):
        monkeypatch.setattr(time, "time", lambda: 1e9 + seconds)

    at(0)
    first = store.claim(run.id, "cpu")
    at(100)
    store.heartbeat(run.id, first, env_steps=40, updates=0, scalars=[])
    at(130)
    store.finish(run.id, first, "stopped")
    at(10_000)
    second = store.claim(run.id, "cpu")
    at(10_007)
    store.record_checkpoint(run.id, second, path="x", env_steps=40, updates=1, bytes=1, sha256="")
    at(20_000)
    store.bury(store.get(run.id), "it died")
    third = store.claim(run.id, "cpu")
    at(20_001)
    store.adopt(run.id, third)
    at(19_000)  # a clock that was set back takes nothing away
    store.heartbeat(run.id, third, env_steps=80, updates=1, scalars=[])
    assert store.get(run.id).work_seconds == 130 + 7 + 1
    assert json.loads(typed("ls", "--json", home=store.home).stdout)[0]["work_seconds"] == 138
    assert "2m 18s" in typed("ls", home=store.home).stdout
    assert "2m 18s at work" in typed("show", run.name, home=store.home).stdout
    assert "0.04 hours at work" in pages.description(store.get(run.id))


@pytest.mark.parametrize("attempts", [1, 2])
def test_runs_of_before_have_their_time_at_work_too(store, attempts):
    """An undisturbed run's is from start to end; with a night between two attempts, without the night."""
    run = submit(store, spec())
    points = [Point(costs.RATE, 40 * i, 0.4, 1e9 + 100 * i + (i > 3) * 30_000 + 5) for i in range(1, 7)]
    store.heartbeat(run.id, store.claim(run.id, "cpu"), env_steps=240, updates=3, scalars=points)
    with store._engine.begin() as connection:
        values = f"attempt = {attempts}, started_at = 1e9, heartbeat_at = 1e9 + 30605, finished_at = 1e9 + 50000"
        connection.execute(text(f"UPDATE run SET {values}"))
        made_older(lambda statement: connection.execute(text(statement)), "0008")
    again = open_store(store.home).get(run.id)
    assert again.work_seconds == (30_605 if attempts == 1 else pytest.approx(600))


def test_a_revived_worker_cannot_write(store):
    run = submit(store, spec())
    first = store.claim(run.id, "cpu")
    store.finish(run.id, first, "failed", "thought dead")
    second = store.claim(run.id, "cpu")
    for write in (
        lambda: store.heartbeat(run.id, first, env_steps=9, updates=9, scalars=[Point("x", 1, 1.0, 0.0)]),
        lambda: store.finish(run.id, first, "finished"),
        lambda: store.record_evaluation(run.id, kind="final", env_steps=1, seed=0, returns=[1], attempt=first),
        lambda: store.record_checkpoint(run.id, first, path="x", env_steps=1, updates=1, bytes=1, sha256=""),
    ):
        with pytest.raises(StaleAttempt):
            write()
    assert store.last_scalars(run.id) == {} and store.evaluations(run.id) == [] and store.checkpoints(run.id) == []
    store.finish(run.id, second, "finished")


def test_points_written_again_are_not_doubled(store):
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    for value in (1.0, 2.0):
        points = [Point("loss", step, value, 0.0) for step in range(3)]
        assert store.heartbeat(run.id, attempt, env_steps=3, updates=1, scalars=points) is False
    assert [p.value for p in store.scalars(run.id, "loss")] == [2.0, 2.0, 2.0]
    assert [p.step for p in store.scalars(run.id, "loss", after=1)] == [2]
    assert store.last_scalars(run.id)["loss"].step == 2


def test_an_evaluation_done_again_replaces_itself(store):
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    for returns in ([1.0], [5.0]):
        store.record_evaluation(run.id, kind="training", env_steps=80, seed=0, returns=returns, attempt=attempt)
    assert [e.returns for e in store.evaluations(run.id)] == [[5.0]]
    assert store.get(run.id).best_score == 5.0


def test_the_newest_runs(store):
    runs = [submit(store, spec(seed)) for seed in range(5)]
    assert [run.id for run in store.runs(newest=2)] == [run.id for run in runs[-2:]]
    assert [run.id for run in store.runs(light=True)] == [run.id for run in runs]
    store.claim(runs[0].id, "cpu")
    assert store.count(status="queued") == 4 and store.count() == 5


def test_stop_requests_reach_the_worker(store):
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    store.request_stop(run.id)
    assert store.heartbeat(run.id, attempt, env_steps=0, updates=0, scalars=[]) is True


def test_names_and_references(store):
    first, second = submit(store, spec()), submit(store, spec())
    assert second.name == first.name + "-2"
    assert store.find(first.name).id == first.id and store.find(second.id[:5]).id == second.id
    with pytest.raises(UnknownRun, match="could be 2 runs"):
        store.find("pendulum")
    with pytest.raises(UnknownRun, match=f"did you mean '{first.name}'"):
        store.find("pendulum_swingup-dremer-s0")
    with pytest.raises(UnknownRun):
        store.find("")


def _write(home, run_id, attempt, worker):
    store = open_store(home)
    for start in range(0, 500, 10):
        points = [Point(f"m{worker}", step, float(step), 0.0) for step in range(start, start + 10)]
        store.heartbeat(run_id, attempt, env_steps=start, updates=start, scalars=points)


def _claim(home, run_ids, won):
    store = open_store(home)
    for run_id in run_ids:
        try:
            won.put((run_id, store.claim(run_id, "cpu")))
        except BadInput:
            continue


def _together(target, arguments):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=args) for args in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_four_processes_write_and_nothing_is_lost_or_locked(store):
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    _together(_write, [(store.home, run.id, attempt, worker) for worker in range(4)])
    for worker in range(4):
        assert [p.step for p in store.scalars(run.id, f"m{worker}")] == list(range(500))
    with sqlite3.connect(store.home / "dreamctl.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_of_several_processes_one_claims(store):
    runs = [submit(store, spec()).id for _ in range(20)]
    won = multiprocessing.get_context("spawn").Queue()
    _together(_claim, [(store.home, runs, won) for _ in range(4)])
    assert sorted(won.get(timeout=5) for _ in runs) == sorted((run_id, 1) for run_id in runs)
    assert won.empty()


def test_several_processes_may_open_a_new_home_at_once(tmp_path):
    _together(open_store, [(tmp_path / "home",)] * 4)
    assert open_store(tmp_path / "home").runs() == []


def test_a_killed_worker_is_found(store):
    run, alive = submit(store, spec()), submit(store, spec())
    store.claim(alive.id, "cpu")
    code = "import sys, time; from dreamctl.store import open_store\n"
    code += "open_store(sys.argv[1]).claim(sys.argv[2], 'cpu'); print('claimed', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(store.home), run.id], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"claimed\n"
    assert store.reap() == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [(r.id, r.status) for r in store.reap()] == [(run.id, "running")]
    assert store.get(run.id).status == "failed" and "died" in store.get(run.id).reason
    assert store.get(alive.id).status == "running"
    assert store.claim(run.id, "cpu") == 2


def test_an_upgrade_makes_exactly_the_models(store):
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    config = Config()
    config.set_main_option("script_location", "dreamctl:store/migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_runs_of_an_older_sqlite_home_are_the_same_runs(tmp_path):
    """A config field that is new since then is at its default; the digest is that of the same run today."""
    run = submit(open_store(tmp_path), spec(3))
    older = {key: value for key, value in run.config.items() if key != "overlap"}
    with sqlite3.connect(tmp_path / "dreamctl.db") as database:
        database.execute("UPDATE run SET config = ?, digest = 'x'", [json.dumps(older)])
        made_older(database.execute, "0002")
    database.close()
    assert open_store(tmp_path).get(run.id).digest == spec(3).digest
    assert open_store(tmp_path).runs()[0].config == spec(3).config.to_dict()
    assert spec(3, overlap="1").digest != spec(3).digest


def other(value):
    """A value of the same type that differs."""
    return not value if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else value + 1


def test_the_digest_knows_every_field():
    config = spec().config.to_dict()
    changed = [digest("t", 0, config | {key: other(value)}) for key, value in config.items()]
    every = [digest("t", 0, config), digest("t", 1, config), digest("u", 0, config), *changed]
    assert len(set(every)) == len(config) + 3


def test_a_field_at_its_default_leaves_the_digest_as_it_was():
    """Or a field that is new would make other runs of all that are stored."""
    known = "946bd8f57db88086cad12ca9d2004a663e77074dc16f5fedc9ea048d36d3ce31"
    config = Config().to_dict()
    assert known == digest("walker_walk", 0, {}) == digest("walker_walk", 0, config)
    assert digest("walker_walk", 0, {"horizon": 15}) == digest("walker_walk", 0, config | {"horizon": 15}) != known


def test_recorded_runs_are_known_by_the_configs_of_today(tmp_path):
    """Sweeps and figures find them by digest and config."""
    shutil.copy(RECORDED / "dreamctl.db", tmp_path)
    for run in open_store(tmp_path).runs():
        assert run.digest == digest(run.task, run.seed, Config.from_dict(run.config).to_dict()), run.name


def revisions():
    from alembic.config import Config as Alembic
    from alembic.script import ScriptDirectory

    config = Alembic()
    config.set_main_option("script_location", "dreamctl:store/migrations")
    scripts = ScriptDirectory.from_config(config)
    return config, [script.revision for script in reversed(list(scripts.walk_revisions()))]


@pytest.mark.parametrize("revision", revisions()[1])
def test_an_upgrade_keeps_the_rows_of_every_table(tmp_path, monkeypatch, revision):
    """A row in each table of an older schema, its columns filled; then opened by the program of today."""
    from alembic import command

    server = os.environ.get("DREAMCTL_TEST_POSTGRES")
    url = fresh_database(server) if server else f"sqlite:///{tmp_path / 'dreamctl.db'}"
    monkeypatch.setenv("DREAMCTL_DB", url)
    engine = create_engine(url)
    config, _ = revisions()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        older = MetaData()
        older.reflect(connection)
        kept = {}
        for table in older.sorted_tables:
            if table.name == "alembic_version":
                continue
            kept[table.name] = {column.name: filled(column) for column in table.columns}
            connection.execute(table.insert().values(kept[table.name]))
    engine.dispose()
    store = open_store(tmp_path)
    assert store.runs()[0].digest == digest("task", 1, {"steps": 1})
    with create_engine(url).connect() as connection:
        for name, before in kept.items():
            (row,) = connection.execute(older.tables[name].select()).mappings()
            assert row == before, name
    copy = tmp_path / f"dreamctl-schema-{revision}.db"
    assert copy.exists() == (revision != HEAD and not server)
    if copy.exists():
        with sqlite3.connect(copy) as old:
            assert old.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]
            assert [old.execute(f"SELECT COUNT(*) FROM {name}").fetchone() for name in kept] == [(1,)] * len(kept)


PARENT = dict(id="0123abcd", name="a", seed=1, env_steps=1, updates=1, sha256="x", changed={"horizon": 5})


def filled(column):
    """Something for a column of a row; ids that refer to each other agree."""
    if column.name in ("config", "spec", "packages"):
        return {"steps": 1}
    if column.name == "status":
        return "failed"
    if column.name == "parent":
        return PARENT
    if column.name == "digest":
        return digest("task", 1, {"steps": 1})
    if column.name in ("returns", "tags"):
        return [1.0] if column.name == "returns" else ["a"]
    if column.name.endswith("id") and isinstance(column.type, String):
        return "0123abcd"
    return column.name if isinstance(column.type, String) else True if isinstance(column.type, Boolean) else 1


def test_reading_an_absent_home_writes_nothing(tmp_path):
    store = open_store(tmp_path / "none", create=False)
    assert store.runs() == []
    assert not (tmp_path / "none").exists()


def test_the_database_may_be_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMCTL_DB", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    assert open_store(tmp_path / "home", create=False).runs() == []
    run = submit(open_store(tmp_path / "home"), spec())
    assert [r.id for r in open_store(tmp_path / "home", create=False).runs()] == [run.id]
    assert not (tmp_path / "home" / "dreamctl.db").exists()


def test_homes_that_cannot_be_used(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="cannot make the home"):
        open_store(tmp_path / "file" / "home")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "dreamctl.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(HomeError, match="not a database"):
        open_store(tmp_path / "bad")
    store = open_store(tmp_path / "newer")
    with sqlite3.connect(store.home / "dreamctl.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HomeError, match="newer dreamctl"):
        open_store(tmp_path / "newer")
    monkeypatch.setenv("DREAMCTL_DB", "nonsense")
    with pytest.raises(HomeError, match="no URL of a database"):
        open_store(tmp_path / "home")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre"])
def test_sqlite_is_refused_on_a_network_file_system(tmp_path, kind):
    """The mount that a folder lies on is the longest whose path begins its own."""
    mounts = tmp_path / "mounts"
    shared = tmp_path / "shared by all"
    listed = str(shared).replace(" ", r"\040")
    lines = ["/dev/sda1 / ext4 rw 0 0", f"server:/x {listed} {kind} rw 0 0", f"tmpfs {listed}/local tmpfs rw 0 0"]
    mounts.write_text("\n".join(lines))
    with pytest.raises(HomeError, match=rf"not safe on the network file system at {shared} \({kind}\): go away"):
        refuse_network(shared / "home", "go away", mounts)
    for local in (shared / "local" / "home", tmp_path / "shared by all2"):
        refuse_network(local, "go away", mounts)


def test_a_thousand_points_take_well_under_a_second(store):
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    points = [Point("loss", step, 1.0, 0.0) for step in range(1000)]
    start = time.perf_counter()
    store.heartbeat(run.id, attempt, env_steps=0, updates=0, scalars=points)
    assert time.perf_counter() - start < 1.0

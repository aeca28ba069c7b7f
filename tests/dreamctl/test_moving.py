"""export and import: what arrives is what left, goes on bit for bit, and nothing else gets in."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import threading
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dreamctl.errors import BadInput
from dreamctl.jobs import sweeps, worker
from dreamctl.jobs.launch import submit
from dreamctl.jobs.scheduler import enroll
from dreamctl.jobs.spec import with_steps
from dreamctl.store import open_store
from dreamctl.store.models import Attempt, Look, Registration, Run
from dreamctl.store.moving import Part, export, import_
from tests.agent.test_training import assert_same
from tests.dreamctl.conftest import MLFLOW, cli, made_older, spec, typed
from tests.dreamctl.test_outlast import known, parameters


def quiet(*_):
    return lambda done: None


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A home with a finished run, a sweep of two that wait, and an evaluation on request."""
    store = open_store(tmp_path_factory.mktemp("origin"))
    run = submit(store, spec(steps="160"))
    assert worker.work(store, run.id, "cpu").status == "finished"
    store.record_evaluation(run.id, kind="manual", env_steps=160, seed=7, returns=[1.0, 2.0])
    enroll(store, "mine", [spec(1), spec(2)], {"name": "mine"}, 3)
    return store, store.get(run.id)


@pytest.fixture(scope="module")
def tar(origin, tmp_path_factory):
    file = tmp_path_factory.mktemp("tar") / "runs.tar"
    store, run = origin
    export(store, [run.id], [], file, Part(), print, quiet)
    return file


def shown(home, name):
    found = json.loads(cli("show", name, "--json", home=home).stdout)
    found.pop("folder")
    return found


def test_a_run_arrives_as_it_left_and_trains_on_bit_for_bit(origin, tmp_path):
    store, run = origin
    done = cli("export", run.name, tmp_path / "x.tar", "--replay", home=store.home)
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["tar", "xf", tmp_path / "x.tar", "-C", tmp_path]).returncode == 0
    assert subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path).returncode == 0
    done = cli("import", tmp_path / "x.tar", "--json", home=tmp_path / "there", **MLFLOW)
    assert done.returncode == 0 and "points copied to sqlite" in done.stderr
    assert json.loads(done.stdout) == [run.id]
    assert shown(tmp_path / "there", run.name) == shown(store.home, run.name)
    there = open_store(tmp_path / "there")
    wanted = with_steps(run, ["steps=240"])
    there.change_steps(run.id, wanted.config.to_dict(), wanted.digest)
    worker.work(there, run.id, "cpu")
    once = submit(there, spec(steps="240"))
    worker.work(there, once.id, "cpu")
    assert there.get(run.id).status == "finished", there.get(run.id).reason
    assert_same(parameters(there, run), parameters(there, once))
    assert known(there, run)[0] == known(there, once)[0]
    # and back home, where it ended earlier
    export(there, [run.id], [], tmp_path / "back.tar", Part(), print, quiet)
    shutil.copytree(store.home, tmp_path / "home")
    home = open_store(tmp_path / "home")
    assert import_(home, tmp_path / "back.tar", print, quiet) == [run.id]
    assert home.get(run.id).env_steps == 240 and known(home, run)[0] == known(there, run)[0]
    assert [e.seed for e in home.evaluations(run.id) if e.kind == "manual"] == [7]
    assert import_(home, tmp_path / "back.tar", print, quiet) == []


def test_without_checkpoints_it_is_small_and_brings_what_was_asked_for(origin, tar, tmp_path):
    store, run = origin
    export(store, [run.id], [], tmp_path / "small.tar", Part(False, False), print, quiet)
    with tarfile.open(tmp_path / "small.tar") as small:
        names = small.getnames()
    assert not any("checkpoints" in name or "episodes" in name for name in names)
    assert f"{run.id}/log.txt" in names or not (store.folder(run.id) / "log.txt").exists()
    there = open_store(tmp_path / "there")
    assert import_(there, tmp_path / "small.tar", print, quiet) == [run.id]
    assert there.checkpoints(run.id) == [] and len(there.evaluations(run.id)) == len(store.evaluations(run.id))
    assert import_(there, tar, print, quiet) == [run.id]  # the rest
    assert known(there, run) == known(store, run)
    assert import_(there, tar, print, quiet) == []
    assert {path.name for path in there.home.iterdir()} == {"dreamctl.db", run.id} | {
        path.name for path in there.home.iterdir() if path.name.startswith("dreamctl.")
    }


def test_two_homes_become_one_and_names_and_ids_that_clash_change(origin, tmp_path):
    store, run = origin
    there = open_store(tmp_path / "there")
    other = submit(there, spec(5, steps="160"))
    with closing(sqlite3.connect(there.home / "dreamctl.db")) as raw, raw:
        raw.execute("UPDATE run SET id = ?, name = ?", (run.id, run.name))
    (there.folder(other.id)).rename(there.folder(run.id))
    enroll(there, "mine", [spec(6)], {"name": "other"}, 3)
    said = []
    assert len(import_(there, store.home, said.append, quiet)) == 3
    runs = {r.name: r for r in there.runs()}
    moved = runs[run.name + "-2"]
    assert moved.id != run.id and there.get(run.id).seed == 5
    assert known(there, moved) == known(store, run)
    assert [r.seed for r in there.members(there.find_sweep("mine").id)] == [6]
    assert [r.seed for r in there.members(there.find_sweep("mine-2").id)] == [1, 2]
    before = [(r.id, r.name) for r in there.runs()]
    assert import_(there, store.home, said.append, quiet) == []
    assert [(r.id, r.name) for r in there.runs()] == before and len(there.sweeps()) == 2


def test_a_sweep_arrives_with_its_registrations_and_looks(tmp_path):
    """Those of a sweep that is here already are added, unless the one here has gone another way."""
    store = open_store(tmp_path / "store")
    sweep = enroll(store, "mine", [spec(1)], {"name": "mine"}, 3)

    def answers(moment):
        row = {"question": "b", "answer": "open", "look": 0, "version": 1, "asked": "", "counted": {}}
        return [row | {"estimate": moment}]

    def judge(where, number, moment):
        found = dict(seeds=3, version=1, judged_at=moment, answers=answers(moment))
        with where._write() as session:
            for row in (
                Registration(sweep_id=sweep.id, version=number, content={"a": number}, created_at=moment, runs=0),
                Look(sweep_id=sweep.id, number=number, **found),
            ):
                session.add(row)

    def history(where):
        with Session(where._engine) as session:
            versions = session.scalars(select(Registration).order_by(Registration.version))
            looks = session.scalars(select(Look).order_by(Look.number))
            return [(r.version, r.content, r.created_at) for r in versions], [(k.number, k.answers) for k in looks]

    judge(store, 1, 1.0)
    runs, file = [run.id for run in store.runs()], tmp_path / "x.tar"
    export(store, runs, [sweep.id], file, Part(), print, quiet)
    there, apart = open_store(tmp_path / "there"), open_store(tmp_path / "apart")
    for other in (there, apart):
        import_(other, file, print, quiet)
        assert history(other) == history(store) == ([(1, {"a": 1}, 1.0)], [(1, answers(1.0))])
    judge(store, 2, 2.0)
    judge(apart, 2, 3.0)
    judge(store, 3, 4.0)
    kept = history(apart)
    for other in (there, apart):
        import_(other, store.home, print, quiet)
    assert history(there) == history(store) and history(apart) == kept


def test_what_is_recorded_has_its_attempts(origin, tmp_path, monkeypatch):
    """`scripts/record` into a folder of its own."""
    store, run = origin
    path = str(Path(__file__).parents[2] / "scripts" / "record")
    script = ModuleType("record")
    monkeypatch.setattr(script, "__file__", path, raising=False)
    exec(compile(Path(path).read_text(), path, "exec"), vars(script))
    monkeypatch.setattr(script, "RECORDED", tmp_path / "recorded")
    for _ in range(2):
        script.main(store.home, [run.name])
    there = open_store(tmp_path / "recorded")
    (kept,) = there.runs()
    assert (kept.id, kept.code, kept.hardware, kept.score) == (run.id, run.code, run.hardware, run.score)
    with Session(there._engine) as session:
        attempts = session.scalars(select(Attempt))
        assert [(a.run_id, a.number, a.code, a.git_diff) for a in attempts] == [(run.id, 1, run.code, None)]
    assert len(there.checkpoints(run.id)) == 1 and there.scalars(run.id, "eval/return")


def test_what_dreamctl_names_it_takes_back(tmp_path):
    """Values with a sign, ten settings in a grid, tasks with a module of any name; twice, so that numbers follow."""
    store, there = open_store(tmp_path / "a"), open_store(tmp_path / "b")
    ten = [f"{key}=0.125" for key in ("model_lr", "value_lr", "action_lr", "discount", "return_lambda", "kl_scale")]
    ten += ["action_mean_scale=2.5", "action_init_std=1.5", "action_min_std=0.25", "exploration_noise=0.75"]
    for grid in (["model_lr=1e+0,+2"], ten):
        plan = sweeps.build(None, sweeps.Request(("cartpole_swingup_sparse", "_größe:Make"), grid=tuple(grid)))
        for seed in (0, 0, 2**31 - 1):
            for cell in plan.cells():
                submit(store, replace(cell, seed=seed))
    names = [run.name for run in store.runs()]
    assert "cartpole_swingup_sparse-dreamer-model_lr1e+0-s0" in names and "gr__e.Make-dreamer-model_lr+2-s0-2" in names
    assert len(import_(there, store.home, print, quiet)) == len(names) == 54
    assert [run.name for run in there.runs()] == names


def test_runs_move_from_one_database_to_another_and_back(origin, store, monkeypatch, tmp_path):
    """Between SQLite and what `store` is on: PostgreSQL in `make test-engines`."""
    here, run = origin
    assert len(import_(store, here.home, print, quiet)) == 3
    assert known(store, store.get(run.id)) == known(here, run)
    monkeypatch.delenv("DREAMCTL_DB", raising=False)
    back = open_store(tmp_path / "back")
    sweep = store.find_sweep("mine")
    export(store, [r.id for r in store.runs()], [sweep.id], tmp_path / "all.tar", Part(), print, quiet)
    assert len(import_(back, tmp_path / "all.tar", print, quiet)) == 3
    assert shown(back.home, run.name) == shown(here.home, run.name)
    assert [r.seed for r in back.members(back.find_sweep("mine").id)] == [1, 2]


def test_a_home_of_an_older_schema_is_upgraded_in_a_copy(tmp_path):
    old = open_store(tmp_path / "old")
    run = submit(old, spec())
    old._engine.dispose()
    with closing(sqlite3.connect(old.home / "dreamctl.db")) as raw, raw:
        made_older(raw.execute, "0002")
    before = sha256((old.home / "dreamctl.db").read_bytes()).digest()
    there = open_store(tmp_path / "there")
    assert import_(there, old.home, print, quiet) == [run.id]
    assert there.get(run.id).config == run.config
    assert sha256((old.home / "dreamctl.db").read_bytes()).digest() == before


def test_a_run_that_goes_on_elsewhere_arrives_stopped(tmp_path):
    store, there = open_store(tmp_path / "a"), open_store(tmp_path / "b")
    run = submit(store, spec())
    store.claim(run.id, "cpu")
    import_(there, store.home, print, quiet)
    assert there.get(run.id).status == "stopped" and there.get(run.id).pid is None
    assert store.get(run.id).status == "running"


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_that_is_resumed_while_its_copy_comes_in_is_not_overwritten(origin, tmp_path, monkeypatch, ended):
    """Copying takes long: in that time the run here goes on, perhaps to its end."""
    store, run = origin
    there, copy = open_store(shutil.copytree(store.home, tmp_path / "there")), shutil.copy2
    with there._write() as session:
        row = session.get(Run, run.id)
        row.status, row.env_steps = "stopped", 120
    before = known(there, run)

    def meanwhile(*arguments):
        if there.get(run.id).status == "stopped":
            attempt = there.claim(run.id, "cpu")
            there.heartbeat(run.id, attempt, env_steps=140, updates=2, scalars=[])
            if ended:
                there.finish(run.id, attempt, "finished")
        return copy(*arguments)

    monkeypatch.setattr(shutil, "copy2", meanwhile)
    with pytest.raises(BadInput, match="changed here while it was copied"):
        import_(there, store.home, print, quiet)
    found = there.get(run.id)
    assert (found.status, found.env_steps, found.attempt) == ("finished" if ended else "running", 140, 2)
    assert known(there, run) == before and not list(there.home.glob(".moving-*"))


@pytest.mark.parametrize("linked", [True, False])
def test_a_run_that_is_at_work_is_exported_with_a_checkpoint(tmp_path, monkeypatch, linked):
    """Packing another run takes so long that all its checkpoints are replaced by newer ones meanwhile."""
    store, there = open_store(tmp_path / "home"), open_store(tmp_path / "there")
    first, second = submit(store, spec(0)), submit(store, spec(1))
    recorder = worker.StoreRecorder(store, second, store.claim(second.id, "cpu"), threading.Event())

    def save(env_steps):
        path = store.file(second.id, f"checkpoints/{env_steps:010d}-1.pt")
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(env_steps))
        recorder.checkpoint(env_steps, 1, path)
        recorder.flush()

    def meanwhile(*arguments):
        for env_steps in (120, 160):
            save(env_steps)
        return lambda done: None

    save(40)
    save(80)
    if not linked:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    said = []
    export(store, [first.id, second.id], [], tmp_path / "x.tar", Part(), said.append, meanwhile)
    import_(there, tmp_path / "x.tar", print, quiet)
    assert [c.env_steps for c in store.checkpoints(second.id)] == [120, 160]
    assert [c.env_steps for c in there.checkpoints(second.id)] == ([40, 80] if linked else [])
    assert len(said) == (0 if linked else 2) and not list(store.home.glob(".moving-*"))


def test_a_home_that_can_only_be_read_is_imported(origin, tmp_path):
    """Nothing can be made beside its database, as SQLite would."""
    store, run = origin
    home = shutil.copytree(store.home, tmp_path / "home")
    for left in home.glob("dreamctl.db-*"):
        left.unlink()
    if subprocess.run(["chattr", "-R", "+i", str(home)], capture_output=True).returncode:
        pytest.skip("no file may be made immutable here")
    try:
        there = open_store(tmp_path / "there")
        assert len(import_(there, home, print, quiet)) == 3
        assert known(there, run) == known(store, run)
    finally:
        subprocess.run(["chattr", "-R", "-i", str(home)], check=True)


def test_notes_and_tags_stay_when_a_run_is_updated(tmp_path):
    there, here = open_store(tmp_path / "there"), open_store(tmp_path / "here")
    noted, plain = (submit(there, spec(seed)) for seed in range(2))
    import_(here, there.home, print, quiet)
    here.annotate(noted.id, "ours")
    here.set_labels([noted.id], ["mine", "both"])
    there.set_labels([noted.id, plain.id], ["both", "theirs"])
    for run in (noted, plain):
        there.annotate(run.id, "theirs")
        attempt = there.claim(run.id, "cpu")
        there.heartbeat(run.id, attempt, env_steps=40, updates=1, scalars=[])
        there.finish(run.id, attempt, "stopped")
    assert len(import_(here, there.home, print, quiet)) == 2
    assert (here.get(noted.id).note, here.get(noted.id).tags) == ("ours", ["mine", "both", "theirs"])
    assert (here.get(plain.id).note, here.get(plain.id).tags) == ("theirs", ["both", "theirs"])
    assert here.get(noted.id).env_steps == 40


def altered(tar, target, change):
    """A copy of an export with other members; its digests are right."""
    with tarfile.open(tar) as old:
        members = {m.name: old.extractfile(m).read() for m in old.getmembers() if m.name != "SHA256SUMS"}
    extra = change(members) or []
    sums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in members.items()).encode()
    with tarfile.open(target, "w") as new:
        for name, content in [*members.items(), ("SHA256SUMS", sums)]:
            for member in extra if name == "SHA256SUMS" else []:
                new.addfile(member, io.BytesIO(bytes(member.size)))
            member = tarfile.TarInfo(name)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


def link(kind, to):
    def change(members):
        member = tarfile.TarInfo(next(iter(members)).split("/")[0] + "/link")
        member.type, member.linkname = kind, to
        return [member]

    return change


def sql(*statements):
    def change(members):
        import tempfile

        with tempfile.NamedTemporaryFile() as file:
            file.write(members["dreamctl.db"])
            file.flush()
            with closing(sqlite3.connect(file.name)) as raw, raw:
                for statement in statements:
                    raw.execute(statement)
            members["dreamctl.db"] = open(file.name, "rb").read()

    return change


def member(name):
    return lambda members: members.update({name: b"x"})


HOSTILE = {
    "a path upwards": member("../evil"),
    "an absolute path": member("/tmp/evil"),
    "a path upwards in a run": member("0123abcd/../../evil"),
    "what belongs to no run": member("evil"),
    "another home's file": member("mlartifacts/evil"),
    "a symbolic link": link(tarfile.SYMTYPE, "/etc"),
    "a hard link": link(tarfile.LNKTYPE, "/etc/passwd"),
    "a device": link(tarfile.CHRTYPE, ""),
    "a trigger": sql("CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END"),
    "a view": sql("CREATE VIEW v AS SELECT * FROM run"),
    "an unknown table": sql("CREATE TABLE extra (x)"),
    "an id that is a path": sql("PRAGMA foreign_keys=OFF", "UPDATE run SET id = '../../x'"),
    "a name that is none": sql("UPDATE run SET name = '\x1b[2J'"),
    "a checkpoint elsewhere": sql("UPDATE checkpoint SET path = '../../../etc/passwd' WHERE rowid = 1"),
    "a picture elsewhere": sql("UPDATE artifact SET path = '/etc/passwd' WHERE rowid = 1"),
    "a video elsewhere": sql("UPDATE evaluation SET video = '../../x'"),
    "steps that are text": sql("UPDATE run SET steps = 'many'"),
    "no config": sql("UPDATE run SET config = 'null'"),
    "a config of another program": sql("""UPDATE run SET config = '{"a": 1}'"""),
    "tags that are none": sql("UPDATE run SET tags = '[1]'"),
    "an infinite metric": sql("UPDATE scalar SET value = 9e999"),
    "a code that is none": sql("UPDATE run SET code = 'mine'"),
    "an attempt's code that is none": sql("UPDATE attempt SET code = 'mine'"),
    "an attempt before all others": sql("UPDATE attempt SET number = 0"),
    "packages without end": sql("UPDATE attempt SET packages = json_object('a', hex(zeroblob(600000)))"),
    "an attempt of no run": sql("PRAGMA foreign_keys=OFF", "UPDATE attempt SET run_id = 'aaaaaaaa'"),
    "a registration of no sweep": sql("INSERT INTO registration VALUES ('aaaaaaaa', 1, '{}', 1.0, 0, NULL, NULL, 0)"),
    "answers that are none": sql(
        "INSERT INTO sweep (id, name, spec, paused, stopped, max_attempts, created_at) "
        "VALUES ('aaaaaaaa', 'other', '{}', 0, 0, 1, 1.0)",
        "INSERT INTO look VALUES ('aaaaaaaa', 0, 1, 1, 1.0, '[1]')",
    ),
    "a look of a number that not every database holds": sql(
        "INSERT INTO sweep (id, name, spec, paused, stopped, max_attempts, created_at) "
        "VALUES ('aaaaaaaa', 'other', '{}', 0, 0, 1, 1.0)",
        "INSERT INTO look VALUES ('aaaaaaaa', 2147483647, 1, 1, 1.0, '[]')",
    ),
    "questions that are none": sql(
        "INSERT INTO sweep (id, name, spec, paused, stopped, max_attempts, created_at) "
        "VALUES ('aaaaaaaa', 'other', '{}', 0, 0, 1, 1.0)",
        """INSERT INTO registration VALUES ('aaaaaaaa', 1, '{"questions": {"a": 1}}', 1.0, 0, NULL, NULL, 0)""",
    ),
    "a status that is none": sql("UPDATE run SET status = 'gone'"),
    "records of no run": sql("PRAGMA foreign_keys=OFF", "UPDATE scalar SET run_id = 'aaaaaaaa'"),
    "a schema of the future": sql("UPDATE alembic_version SET version_num = '9999'"),
    "no database": lambda members: members.pop("dreamctl.db") and None,
    "another file as database": lambda members: members.update({"dreamctl.db": b"x" * 9000}),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_nothing_hostile_gets_in(tar, tmp_path, attack):
    home = tmp_path / "a" / "home"
    store = open_store(home)
    file = altered(tar, tmp_path / "hostile.tar", HOSTILE[attack])
    from dreamctl.errors import DreamctlError

    with pytest.raises(DreamctlError) as refused:
        import_(store, file, print, quiet)
    assert len(str(refused.value).splitlines()) == 1, attack
    assert store.runs() == [] and all(path.name.startswith("dreamctl.") for path in home.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"a", "hostile.tar"}


@pytest.mark.parametrize("where", [100, 5000, 0.5, "last file"])
def test_a_file_that_is_damaged_or_cut_is_refused(tar, tmp_path, where):
    content = tar.read_bytes()
    at = int(where * len(content)) if isinstance(where, float) else where
    if where == "last file":  # what fills the last block up is nothing's
        with tarfile.open(tar) as opened:
            last = opened.getmembers()[-1]
        at = last.offset_data + last.size // 2
    damaged = tmp_path / "damaged.tar"
    store = open_store(tmp_path / "home")
    from dreamctl.errors import DreamctlError

    for changed in (content[:at], content[:at] + bytes([content[at] ^ 1]) + content[at:][1:]):
        damaged.write_bytes(changed)
        with pytest.raises(DreamctlError):
            import_(store, damaged, print, quiet)
        assert store.runs() == []


def test_a_checkpoint_that_is_not_what_is_on_record_is_left_out(origin, tmp_path):
    store, run = origin
    shutil.copytree(store.home, tmp_path / "copy")
    first, *rest = store.checkpoints(run.id)
    (tmp_path / "copy" / run.id / first.path).write_bytes(b"x")
    there, said = open_store(tmp_path / "there"), []
    import_(there, tmp_path / "copy", said.append, quiet)
    assert [c.path for c in there.checkpoints(run.id)] == [c.path for c in rest]
    assert any(first.path in line and "left out" in line for line in said)
    assert not (there.folder(run.id) / first.path).exists()


def test_what_cannot_be_done_is_one_line(origin, tar, tmp_path):
    store, run = origin
    for arguments, message in (
        (["export", run.name, tar, "--home", store.home], "exists already"),
        (["export", "nothing", tmp_path / "x.tar", "--home", store.home], "no run 'nothing'"),
        (["export", run.name, tmp_path / "none" / "x.tar", "--home", store.home], "cannot write"),
        (["import", tmp_path / "none.tar", "--home", tmp_path / "h"], "none.tar does not exist"),
        (["import", tmp_path, "--home", tmp_path / "h"], "there is no run database in"),
        (["import", store.home, "--home", store.home], "is the home to import into"),
    ):
        done = typed(*arguments)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr

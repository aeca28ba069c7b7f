"""dreamctl doctor: what is wrong is found, told with what mends it, and mended where it can be."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from dreamctl.errors import HomeError
from dreamctl.jobs import doctor
from dreamctl.jobs.launch import submit
from dreamctl.store import open_store
from tests.dreamctl.conftest import cli, spec

pytestmark = pytest.mark.mlflow


def found(home, *options, **environment):
    done = cli("doctor", "--json", *options, home=home, **environment)
    rows = json.loads(done.stdout)
    return done.returncode, {(row["what"], row["level"]) for row in rows}, rows


def test_an_ill_home_is_found_out_and_mended(tmp_path):
    store = open_store(tmp_path)
    run = submit(store, spec())
    code = "import sys; from dreamctl.store import open_store; open_store(sys.argv[1]).claim(sys.argv[2], 'cpu')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path), run.id], check=True)
    with closing(sqlite3.connect(tmp_path / "dreamctl.db")) as raw, raw:
        raw.execute("UPDATE run SET heartbeat_at = heartbeat_at - 100, created_at = created_at + 1000")
    left = tmp_path / ".moving-x"
    left.mkdir()
    os.utime(left, (0, 0))
    code, levels, rows = found(tmp_path, MUJOCO_GL="nonsense")
    assert code == 1 and {what for what, level in levels if level == "error"} == {"clock", "rendering"}
    assert {what for what, level in levels if level == "warning"} >= {"home", "runs", "MLflow"}
    assert all(row["mend"] for row in rows if row["level"] != "ok" and row["what"] != "rendering")
    assert left.is_dir() and store.get(run.id).status == "running"
    with closing(sqlite3.connect(tmp_path / "dreamctl.db")) as raw, raw:
        raw.execute("UPDATE run SET created_at = created_at - 1000")
    done = cli("doctor", "--fix", home=tmp_path)
    assert done.returncode == 0 and done.stdout.count("(fixed)") == 3, done.stdout
    assert not left.exists() and store.get(run.id).status == "failed" and (tmp_path / "mlflow.db").is_file()
    code, levels, _ = found(tmp_path)
    assert code == 0 and {what for what, level in levels if level != "ok"} <= {"rendering"}


def test_the_folder_of_an_import_counts_as_left_over_when_its_process_is_gone(tmp_path):
    """However long it takes: an export of terabytes leaves its folder untouched for hours."""
    store = open_store(tmp_path)
    code = (
        "import pathlib, sys, time; from dreamctl.store.moving import _stage\n"
        "with _stage(pathlib.Path(sys.argv[1])): print('locked', flush=True), time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    (stage,) = tmp_path.glob(".moving-*")
    os.utime(stage, (0, 0))
    told = [finding.text for finding in doctor._home(store, "")]
    process.kill()
    process.wait()
    assert not any("was killed" in text for text in told)
    assert any("was killed" in finding.text for finding in doctor._home(store, ""))


def test_files_of_a_removed_run_that_stay_are_told_and_deleted_later(tmp_path):
    """Some cannot be deleted; a kill between the row and the folder leaves one that only its owner can judge."""
    store = open_store(tmp_path)
    run, other = submit(store, spec()), submit(store, spec())
    kept = store.file(run.id, "config.json")
    if subprocess.run(["chattr", "+i", str(kept)], capture_output=True).returncode:
        pytest.skip("no file may be made immutable here")
    try:
        with pytest.raises(HomeError, match="not all of its files"):
            store.remove(run.id)
        (left,) = tmp_path.glob(".removing-*")
    finally:
        subprocess.run(["chattr", "-R", "-i", str(tmp_path)], check=True)
    store.folder("0123abcd").mkdir()
    findings = list(doctor._home(store, ""))
    for finding in findings:
        if finding.fix:
            finding.fix()
    assert not left.exists() and store.folder("0123abcd").is_dir() and store.folder(other.id).is_dir()
    assert any("of no run" in finding.text and "0123abcd" in finding.mend for finding in findings)
    assert not any(other.id in finding.mend for finding in findings)


@pytest.mark.parametrize("damage", ["page", "newer", "none"])
def test_a_database_that_cannot_be_used_is_an_error(tmp_path, damage):
    store = open_store(tmp_path)
    for seed in range(20):
        submit(store, spec(seed))
    store._engine.dispose()
    file = tmp_path / "dreamctl.db"
    if damage == "page":
        content = file.read_bytes()
        file.write_bytes(content[:-8192] + os.urandom(4096) + content[-4096:])
    elif damage == "newer":
        with closing(sqlite3.connect(file)) as raw, raw:
            raw.execute("UPDATE alembic_version SET version_num = '9999'")
    else:
        file.write_bytes(b"no database at all" * 1000)
    begin = time.time()
    code, levels, _ = found(tmp_path)
    assert code == 1 and {what for what, level in levels if level == "error"} & {"home", "database"}
    assert time.time() - begin < 120

"""A home, a database or a file that comes from somebody else: what it says decides nothing outside the home."""

import sqlite3

import pytest

from dreamctl.errors import BadRecord
from dreamctl.jobs import files
from dreamctl.jobs.launch import spawn, submit
from dreamctl.store import paths
from tests.dreamctl.conftest import spec, typed


@pytest.fixture
def run(store):
    """A stopped run with a checkpoint file, and outside of the home a folder that must not be touched."""
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    folder = store.folder(run.id)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "a.pt").write_bytes(b"x")
    (store.home.parent / "precious").mkdir()
    (store.home.parent / "precious" / "thesis.tex").write_text("years")
    store.record_checkpoint(run.id, attempt, path="checkpoints/a.pt", env_steps=1, updates=1, bytes=1, sha256="")
    store.finish(run.id, attempt, "stopped")
    return run


def rewrite(store, statement, *values):
    """What a stranger does to a database."""
    with sqlite3.connect(store.home / "dreamctl.db") as database:
        database.execute("PRAGMA foreign_keys = OFF")
        assert database.execute(statement, values).rowcount
    database.close()


def untouched(store):
    assert (store.home.parent / "precious" / "thesis.tex").read_text() == "years"
    return (store.home / "dreamctl.db").exists()


@pytest.mark.parametrize("id", ["{outside}", "../precious", "", ".", "figures/../../precious", "0123456", "0123456g"])
def test_an_id_that_is_none_deletes_nothing(store, run, id):
    id = id.format(outside=store.home.parent / "precious")
    rewrite(store, "UPDATE run SET id = ?", id)
    for command in ("rm", "logs", "eval", "show"):
        done = typed(command, run.name, *(["--yes"] if command == "rm" else []), home=store.home)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, (command, done.stderr)
        assert untouched(store)
    assert store.folder(run.id).is_dir()


@pytest.mark.parametrize("path", ["{outside}/thesis.tex", "../../precious/thesis.tex", "link/thesis.tex", ""])
def test_a_path_that_leaves_its_run_is_not_used(store, run, path):
    (store.folder(run.id) / "link").symlink_to(store.home.parent / "precious")
    path = path.format(outside=store.home.parent / "precious")
    rewrite(store, "UPDATE checkpoint SET path = ?", path)
    for use in (lambda: list(files.newest_first(store, run)), lambda: files.choose(store, run, "latest")):
        with pytest.raises(BadRecord):
            use()
    for use in (store.file, lambda run_id, path: store.record_artifact(run_id, path=path, kind="video")):
        with pytest.raises(BadRecord):
            use(run.id, path)
    assert untouched(store)


def test_pruning_checkpoints_unlinks_nothing_outside(store, run):
    """As `run --resume` does after each checkpoint that it writes."""
    from dreamctl.jobs.worker import StoreRecorder

    rewrite(store, "UPDATE checkpoint SET path = '../../precious/thesis.tex'")
    attempt = store.claim(run.id, "cpu")
    recorder = StoreRecorder(store, store.get(run.id), attempt, stopping=None)
    with pytest.raises(BadRecord):
        for number in range(2, 5):
            path = store.folder(run.id) / "checkpoints" / f"{number}.pt"
            path.write_bytes(b"x")
            recorder.checkpoint(number, number, path)
            recorder.flush()
    assert untouched(store)


@pytest.mark.parametrize("link", ["log.txt", "episodes", "checkpoints/b.pt", "config.json"])
def test_nothing_is_written_through_a_link_in_a_runs_folder(store, run, link):
    target = store.home.parent / "precious" / "thesis.tex"
    (store.folder(run.id) / link).unlink(missing_ok=True)
    (store.folder(run.id) / link).symlink_to(target.parent if link == "episodes" else target)
    with pytest.raises(BadRecord, match="symbolic link"):
        spawn(store, run.id, "cpu")
    done = typed("run", "--resume", run.name, home=store.home)
    assert done.returncode == 2 and "symbolic link" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert untouched(store) and len(list(target.parent.iterdir())) == 1


def test_removing_a_run_whose_folder_is_a_link_removes_the_link_alone(store, run):
    folder = store.folder(run.id)
    folder.rename(store.home.parent / "moved")
    folder.symlink_to(store.home.parent / "moved")
    assert typed("show", run.name, home=store.home).returncode == 2
    assert typed("rm", run.name, "--yes", home=store.home).returncode == 0
    assert not folder.is_symlink() and (store.home.parent / "moved" / "config.json").is_file()


def test_paths_inside(tmp_path):
    assert paths.inside(tmp_path, "a/b.txt") == tmp_path / "a" / "b.txt"
    (tmp_path / "in").symlink_to(tmp_path)
    for wrong in ("/etc/passwd", "..", "a/../../b", "in/x", "in", "", "x" * 300, "a\0b"):
        with pytest.raises(BadRecord):
            paths.inside(tmp_path, wrong)

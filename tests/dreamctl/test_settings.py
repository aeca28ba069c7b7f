"""Defaults of one's own: options before variables, variables before dreamctl.toml, that before the program's."""

import json

import pytest

from dreamctl import settings
from tests.dreamctl.conftest import cli, typed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key in ("DREAMCTL_HOME", "DREAMCTL_DB"):
        monkeypatch.delenv(key, raising=False)
    settings._read.cache_clear()
    return tmp_path


def test_each_value_says_where_it_comes_from(folder, monkeypatch):
    (folder / "dreamctl.toml").write_text('home = "lab"\npreset = "tiny"\nper_gpu = 2\n')
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    found = json.loads(typed("config", "--json").stdout)
    file = str(folder / "dreamctl.toml")
    assert found["home"] == {"value": str(folder / "lab"), "source": file}
    assert found["preset"] == {"value": "tiny", "source": file}
    assert found["device"] == {"value": "auto", "source": "default"}
    monkeypatch.setenv("DREAMCTL_HOME", "/elsewhere")
    assert settings.everything()["home"] == ("/elsewhere", "DREAMCTL_HOME")
    assert settings.get("preset", "smoke") == "smoke" and settings.get("per_gpu") == 2
    shown = typed("config").stdout
    assert "/elsewhere" in shown and "DREAMCTL_HOME" in shown


def test_the_defaults_hold(folder):
    """home and preset for a plan; a built-in sweep of another preset goes by another name."""
    (folder / "dreamctl.toml").write_text('home = "lab"\npreset = "smoke"\ncpu_slots = 0\nexecutor = "local"\n')
    plan = json.loads(typed("sweep", "--tasks", "walker_run", "--seeds", "1", "--dry-run", "--json").stdout)
    assert [cell["preset"] for cell in plan] == ["smoke"]
    assert "sweep horizon-" in typed("sweep", "horizon", "--dry-run").stdout
    assert "no slot to train in" in typed("sweep", "--tasks", "walker_run", "--seeds", "1").stderr
    assert f"no runs in {folder / 'lab'}" in typed("ls").stdout + typed("ls").stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hme = 'x'", "unknown key 'hme'"),
        ("per_gpu = 'two'", "per_gpu must be a whole number"),
        ("per_gpu = true", "per_gpu must be a whole number"),
        ("home = ''", "home must be text"),
        ("home", "is not TOML"),
    ],
)
def test_a_bad_file_is_one_line(folder, content, message):
    (folder / "dreamctl.toml").write_text(content)
    done = typed("ls")
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert typed("--help").returncode == 0


def test_a_process_finds_the_file(folder):
    (folder / "dreamctl.toml").write_text('home = "lab"\n')
    assert json.loads(cli("config", "--json").stdout)["home"]["value"] == str(folder / "lab")

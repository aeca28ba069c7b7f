"""What is built holds all that the program needs outside its checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import dreamctl

ROOT = Path(__file__).parents[1]
KEPT = ("agent", "dreamctl", "benchmarks", "docs", "experiments", "scripts", "tests")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, made by the build backend from a copy of the sources; the network is not asked."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.lock")
    for path in ROOT.iterdir():
        if path.name in KEPT:
            shutil.copytree(path, source / path.name, ignore=ignored)
        elif path.is_file():
            shutil.copy(path, source)
    for kind in ("wheel", "sdist"):
        code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, str(out)], cwd=source, check=True, capture_output=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def files(*folders: str) -> set[str]:
    """The files of the checkout in some folders, but caches and locks."""
    found = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {str(path) for path in found if "__pycache__" not in path.parts and path.suffix != ".lock"}


def test_the_wheel_holds_all_of_both_packages_and_nothing_else(built):
    """Migrations, published scores and recorded runs among them."""
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files("agent", "dreamctl")
    assert {"dreamctl/recorded/dreamctl.db", "dreamctl/results/data/published.csv"} < names
    assert "dreamctl/store/migrations/versions/0001_first.py" in names


def test_the_sdist_holds_the_project(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files(*KEPT) | {"Makefile", "constraints.txt", "CHANGELOG.md", "CITATION.cff", "LICENSE"} <= names


def test_one_version_everywhere(built):
    version = dreamctl.__version__
    assert built[0].name.startswith(f"dreamctl-{version}-py3-none-any")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_metadata_names_licence_pythons_and_the_command(built):
    with zipfile.ZipFile(built[0]) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        told = wheel.read(metadata).decode()
        assert "dreamctl = dreamctl.cli:main" in wheel.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert "License-Expression: MIT" in told and "Requires-Python: >=3.11" in told
    for minor in (11, 12):
        assert f"Programming Language :: Python :: 3.{minor}" in told
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert all(f"Provides-Extra: {extra}" in told for extra in extras)


def test_the_wheel_works_outside_the_checkout(built, tmp_path):
    """Recorded runs are read, a database is made; the repository that it happens to lie in is not taken for its own."""
    for command in (
        ["init", "-q"],
        ["-c", "user.name=A", "-c", "user.email=@", "commit", "-q", "--allow-empty", "-mx"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(tmp_path / "site")
    code = """
import json, dreamctl
from dreamctl.results import published
from dreamctl.store import open_store
from dreamctl.store.database import RECORDED
from dreamctl.store.provenance import collect
open_store("home")
runs = open_store(RECORDED, create=False).runs()
print(json.dumps([dreamctl.__file__, len(runs), sorted(k for k, v in collect().items() if v is not None)]))
"""
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    place, runs, known = json.loads(done.stdout)
    assert place == str(tmp_path / "site/dreamctl/__init__.py") and runs > 0 and known == ["packages"]
    assert (tmp_path / "home/dreamctl.db").is_file()

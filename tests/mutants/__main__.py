"""Bugs put in on purpose, to see that tests notice: `make mutants`, or `python -m tests.mutants [--only NAME]`.

A mutant is a table in tests/mutants/*.toml: `file`, the `old` text that occurs in it once, the `new` text, and the
`tests` of which at least one must fail. Each is put into a copy of the tree, never into the tree itself. Its tests must
pass in an unchanged copy first (--unchanged does nothing else), or a failure would say nothing. Ends with 1 if a mutant
is not caught, or if its patch no longer applies: then write it anew against what the code has become.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("agent", "dreamctl", "benchmarks", "tests", "pyproject.toml")
OURS = ("agent", "dreamctl", "benchmarks", "tests")
PRELOADED = ("numpy", "torch", "PIL.Image", "sqlalchemy.orm", "pytest")  # most of the time would be importing these
Mutant = Mapping[str, str | list[str]]
Job = tuple[str, list[str], str, str]  # name, tests, file and its text


def load() -> dict[str, Mutant]:
    """All mutants by name, those of a file in its order."""
    tables = [tomllib.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.toml"))]
    return {name: mutant for table in tables for name, mutant in table.items()}


def patched(mutant: Mutant) -> str | None:
    """The file's text with the bug in it; None when the patch does not apply."""
    text = (ROOT / mutant["file"]).read_text()
    return text.replace(mutant["old"], mutant["new"]) if text.count(mutant["old"]) == 1 else None


def run(jobs: Iterable[Job], at_once: int) -> Iterator[tuple[str, int, str]]:
    """As each job ends: its name, pytest's exit code and last line. Each has a process and a copy of the tree."""
    for name in PRELOADED:
        importlib.import_module(name)
    waiting = iter(jobs)
    working: dict[int, tuple[str, tempfile.TemporaryDirectory[str]]] = {}
    while True:
        while len(working) < at_once and (job := next(waiting, None)):
            folder = tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True)
            pid = os.fork()
            if pid == 0:
                test(Path(folder.name), *job[1:])
            working[pid] = job[0], folder
        if not working:
            return
        pid, status = os.wait()
        name, folder = working.pop(pid)
        lines = (Path(folder.name) / "output.txt").read_text().strip().splitlines()
        folder.cleanup()
        yield name, os.waitstatus_to_exitcode(status), lines[-1] if lines else ""


def test(folder: Path, tests: list[str], file: str, text: str) -> None:
    """Run tests in a copy of the tree in which `file`, if any, holds `text`; ends this process."""
    import pytest

    code = 99
    try:
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        if file:
            (folder / file).write_text(text)
        os.chdir(folder)
        os.environ |= dict(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
        sys.dont_write_bytecode, sys.path[0] = True, str(folder)
        for module in [name for name in sys.modules if name.split(".")[0] in OURS]:
            del sys.modules[module]
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
        import agent

        code = code if Path(agent.__file__).is_relative_to(folder) else 98  # what was tested was the copy
    finally:
        sys.stdout.flush()
        os._exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; may be given again")
    parser.add_argument("--jobs", type=int, default=2, help="at once [default: 2]")
    parser.add_argument("--check", action="store_true", help="only whether all patches apply")
    parser.add_argument("--unchanged", action="store_true", help="only whether the tests pass without a bug")
    arguments = parser.parse_args()
    mutants = load()
    unknown = set(arguments.only or ()) - mutants.keys()
    if unknown:
        sys.exit(f"no mutant {', '.join(sorted(unknown))}; there are: {', '.join(mutants)}")
    chosen = {name: mutants[name] for name in arguments.only or mutants}
    texts = {name: patched(mutant) for name, mutant in chosen.items()}
    stale = [name for name, text in texts.items() if text is None]
    if stale:
        sys.exit(f"patches that do not apply: {', '.join(stale)}")
    if arguments.check:
        return
    begin = time.monotonic()
    files: dict[str, dict[str, None]] = {}
    for mutant in chosen.values():
        for one in mutant["tests"]:
            files.setdefault(one.split("::")[0], {})[one] = None
    failed = [
        f"{name}: {last}"
        for name, code, last in run(((f, [*t], "", "") for f, t in files.items()), arguments.jobs)
        if code
    ]
    if failed:
        sys.exit("these must pass before a failure says anything: " + "; ".join(failed))
    print(f"their tests pass without a bug ({time.monotonic() - begin:.0f} s)", flush=True)
    if arguments.unchanged:
        return
    jobs = [(name, list(mutant["tests"]), str(mutant["file"]), texts[name] or "") for name, mutant in chosen.items()]
    wrong = []
    for number, (name, code, last) in enumerate(run(jobs, arguments.jobs), 1):
        found = {0: "NOT CAUGHT", 1: "caught"}.get(code, f"NOT RUN (exit code {code}): {last}")
        print(f"{number:3}/{len(chosen)}  {name:44} {found}", flush=True)
        wrong += [] if code == 1 else [name]
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} caught in {time.monotonic() - begin:.0f} s")
    sys.exit(f"not caught: {', '.join(wrong)}" if wrong else None)


if __name__ == "__main__":
    main()

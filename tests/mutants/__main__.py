"""Bugs put in on purpose, to see that tests notice: `make mutants`, or `python -m tests.mutants [--only NAME]`.

A mutant is a table in tests/mutants/*.toml: `file`, the `old` text that occurs in it once, the `new` text, and the
`tests` of which at least one must fail. Each is put into a copy of the tree, never into the tree itself. At first all
those tests must pass in an unchanged copy, or a failure would say nothing. Ends with 1 if a mutant is not caught, or if
its patch no longer applies: then write it anew against what the code has become.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("agent", "dreamctl", "benchmarks", "tests", "runs/recorded", "pyproject.toml")
Mutant = Mapping[str, str | list[str]]


def load() -> dict[str, Mutant]:
    """All mutants by name, those of a file in its order."""
    tables = [tomllib.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.toml"))]
    return {name: mutant for table in tables for name, mutant in table.items()}


def patched(mutant: Mutant) -> str | None:
    """The file's text with the bug in it; None when the patch does not apply."""
    text = (ROOT / mutant["file"]).read_text()
    return text.replace(mutant["old"], mutant["new"]) if text.count(mutant["old"]) == 1 else None


def run(tests: Iterable[str], file: str | None = None, text: str = "") -> tuple[int, str]:
    """pytest's exit code and its last line, of these tests in a copy of the tree in which `file` holds `text`."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        if file:
            (Path(folder) / file).write_text(text)
        here = dict(PYTHONPATH=folder, PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(command, cwd=folder, env=os.environ | here, capture_output=True, text=True)
    return done.returncode, (done.stdout.strip().splitlines() or [done.stderr])[-1]


def verdict(mutant: Mutant) -> str:
    """'caught', or what is wrong."""
    text = patched(mutant)
    if text is None:
        return f"DOES NOT APPLY to {mutant['file']}"
    code, last = run(mutant["tests"], str(mutant["file"]), text)
    return {0: "NOT CAUGHT", 1: "caught"}.get(code, f"NOT RUN (pytest's exit code {code}): {last}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; may be given again")
    parser.add_argument("--jobs", type=int, default=2, help="at once [default: 2]")
    parser.add_argument("--check", action="store_true", help="only whether all patches apply")
    arguments = parser.parse_args()
    mutants = load()
    unknown = set(arguments.only or ()) - mutants.keys()
    if unknown:
        sys.exit(f"no mutant {', '.join(sorted(unknown))}; there are: {', '.join(mutants)}")
    chosen = {name: mutants[name] for name in arguments.only or mutants}
    if arguments.check:
        stale = [name for name, mutant in chosen.items() if patched(mutant) is None]
        sys.exit(f"patches that do not apply: {', '.join(stale)}" if stale else None)
    begin = time.monotonic()
    code, last = run(dict.fromkeys(test for mutant in chosen.values() for test in mutant["tests"]))
    print(f"the tests without a bug: {last}", flush=True)
    if code:
        sys.exit("these must pass before a failure says anything")
    wrong = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for number, (name, found) in enumerate(zip(chosen, pool.map(verdict, chosen.values()), strict=True), 1):
            print(f"{number:3}/{len(chosen)}  {name:44} {found}", flush=True)
            wrong += [] if found == "caught" else [name]
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} caught in {time.monotonic() - begin:.0f} s")
    sys.exit(f"not caught: {', '.join(wrong)}" if wrong else None)


if __name__ == "__main__":
    main()

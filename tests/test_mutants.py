"""The list of mutants is in order: whether they are caught is for `make mutants`."""

import re
from pathlib import Path

from tests.mutants.__main__ import ROOT, load, patched


def test_every_mutant_names_tests_that_exist_and_is_a_change_that_runs():
    mutants = load()
    assert len(mutants) >= 60
    for name, mutant in mutants.items():
        assert mutant["old"] != mutant["new"] and mutant["tests"], name
        for test in mutant["tests"]:
            file, _, function = re.sub(r"\[.*", "", test).partition("::")
            assert f"def {function}" in (ROOT / file).read_text(), (name, test)
        text = patched(mutant)
        assert text is not None, f"{name} does not apply: write it anew against what the code has become"
        if Path(mutant["file"]).suffix == ".py":
            compile(text, mutant["file"], "exec")

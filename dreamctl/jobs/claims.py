"""The paper's claims as questions of the built-in sweeps (claims.yaml), in the form that users write theirs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import as_file, files

from dreamctl.errors import BadInput
from dreamctl.jobs import questions
from dreamctl.jobs.contrasts import Cell, contrasts
from dreamctl.jobs.questions import Part, Question
from dreamctl.jobs.reading import read_yaml

PROTOCOL = {"settings", "seeds"}  # claims on how runs were made: nothing that a sweep's scores could answer


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: its number, the built-in sweep that it is about, and its question.

    protocol: what it says of how runs were made instead (`PROTOCOL`); its question then has no parts.
    """

    number: int
    sweep: str
    question: Question
    protocol: str | None = None

    @property
    def text(self) -> str:
        """The claim, in our words."""
        return self.question.asks

    @property
    def place(self) -> str:
        """Where the paper says so."""
        return self.question.place

    @property
    def note(self) -> str:
        """How it is tested, and which thresholds are ours."""
        return self.question.note


@cache
def catalogue() -> tuple[Claim, ...]:
    """All claims, by number."""
    with as_file(files("dreamctl.jobs") / "claims.yaml") as path:
        content = read_yaml(path)
    found = [_claim(sweep, name, written) for sweep, own in content.items() for name, written in own.items()]
    return tuple(sorted(found, key=lambda claim: claim.number))


def _claim(sweep: str, name: str, written: Mapping[str, str]) -> Claim:
    number = int(name.removeprefix("claim-"))
    if "protocol" in written:
        question = Question(name, written["asks"], (), written, written["place"], written["note"])
        return Claim(number, sweep, question, written["protocol"])
    return Claim(number, sweep, questions.parse(name, written))


def cells_of(question: Question, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that a question is about. Raises `BadInput` if some are not there."""
    named = {
        key
        for part in question.parts
        for one in contrasts(part, cells, question.name)
        for stratum in one.strata
        for term in stratum.terms
        for key in term.cells
    }
    return [cell for cell in cells if cell.key in named]


def asked(
    name: str, here: Mapping[str, tuple[Cell, str]], of: Callable[[str], Mapping[str, tuple[Cell, str]]]
) -> tuple[list[Question], list[str]]:
    """The claims that a plan of the built-in sweep `name` can ask, and the names of those of its own that it cannot.

    here: the plan's cells by name, each with the digest of a run of it; of: those of a built-in sweep as a whole, at
    the plan's settings. A claim is asked if all cells that it is about are there.
    """
    cells = [cell for cell, _ in here.values()]
    fields = list(cells[0].at) if cells else []
    found, left = [], []
    sweeps = {sweep: of(sweep) for sweep in {claim.sweep for claim in catalogue() if not claim.protocol}}
    for claim in catalogue():
        if claim.protocol:
            continue
        whole = sweeps[claim.sweep]
        fixed = {field: "" for field in fields if field not in next(iter(whole.values()))[0].at}
        try:
            wanted = cells_of(claim.question, [cell for cell, _ in whole.values()])
            digests = {whole[cell.key][1] for cell in wanted}
            like = next((cell for cell, digest in here.values() if digest in digests), None)
            question = _fixed(claim.question, {field: like.at[field] for field in fixed} if like else {})
            complete = {here[cell.key][1] for cell in cells_of(question, cells)} == digests
        except BadInput:
            complete = False
        if complete:
            found.append(question)
        elif claim.sweep == name or name == "all":
            left.append(claim.question.name)
    return found, left


def _fixed(question: Question, at: Mapping[str, str]) -> Question:
    """A question that looks only at cells with these values, which vary elsewhere in the sweep."""
    if not at:
        return question
    parts = tuple(_narrowed(part, at) for part in question.parts)
    rest = {key: question.content[key] for key in ("asks", "place", "note") if key in question.content}
    return replace(question, parts=parts, content={**rest, "all": [dict(part.fields) for part in parts]})


def _narrowed(part: Part, at: Mapping[str, str]) -> Part:
    return replace(part, fields={**part.fields, "where": {**part.fields.get("where", {}), **at}})

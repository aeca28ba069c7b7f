"""The paper's empirical claims, each judged on stored runs: confirmed, contradicted or undecided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dreamctl.results.cells import Choice
from dreamctl.results.claims.catalogue import CLAIMS, Claim
from dreamctl.results.claims.evidence import Evidence, Witness
from dreamctl.results.claims.measure import CONFIRMED, CONTRADICTED, UNDECIDED, Interval, Measure, together
from dreamctl.store import Store

__all__ = ["CLAIMS", "CONFIRMED", "CONTRADICTED", "UNDECIDED", "Claim", "Evidence", "Interval", "Measure", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim: on which runs (names), at which setting, and the command that brings what is missing."""

    claim: Claim
    outcome: str
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    setting: str
    command: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not known is None."""
        claim = self.claim
        return {
            "claim": claim.number,
            "text": claim.text,
            "place": claim.place,
            "outcome": self.outcome,
            "test": claim.test,
            "thresholds": claim.ours,
            "setting": self.setting,
            "measures": [
                {"what": m.what, "complete": m.complete, "region": _finite(m.region)}
                | dict(zip(("estimate", "low", "high"), _finite(m.interval), strict=True))
                for m in self.measures
            ],
            "notes": list(self.notes),
            "runs": list(self.runs),
            "missing": self.command,
        }


def judge(evidence: Evidence) -> list[Verdict]:
    """The verdict on every claim, in order."""
    return [_judge(claim, evidence) for claim in CLAIMS]


def gather(store: Store, choice: Choice) -> Evidence:
    """The runs that claims are judged on. Raises `BadInput` when there is none, or those of several presets."""
    return Evidence(store, choice)


def _judge(claim: Claim, evidence: Evidence) -> Verdict:
    witness = Witness(evidence)
    found = claim.find(witness)
    outcome = together(measure.outcome for measure in found.measures)
    runs = sorted(witness.runs.values(), key=lambda run: (run.task, run.name))
    command = None
    if evidence.exhausted:
        pass  # only other runs than those could decide it
    elif witness.lacking:
        command = evidence.command(claim.sweep, sorted(witness.lacking))
    elif outcome == UNDECIDED and runs:  # the intervals are too wide
        command = evidence.command(claim.sweep, seeds=2 * max(len({run.seed for run in runs}), 3))
    return Verdict(
        claim,
        outcome,
        found.measures,
        found.notes,
        tuple(run.name for run in runs),
        tuple(sorted({run.seed for run in runs})),
        evidence.setting,
        command,
    )


def _finite(values: tuple[float, ...]) -> list[float | None]:
    return [value if abs(value) < float("inf") else None for value in values]

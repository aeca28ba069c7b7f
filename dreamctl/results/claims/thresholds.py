"""The thresholds that are ours, where the paper gives none; and what a claim's function returns."""

from __future__ import annotations

from typing import NamedTuple

from dreamctl.results.claims.measure import Measure

TIE = 50.0  # points of 1000: scores that are closer are a tie, a number that is closer is reproduced
SOLVES = 0.8  # of the score of Dreamer with reconstruction: as good counts as solving (or succeeding on) a task
FLOOR = 100.0  # points of 1000 that solving takes at least
WELL = 0.9  # of the best action repeat's score: as good counts as working well
KEPT = 0.7  # of the best horizon's score: as good counts as high performance at a short one
SHARE = 0.05  # shares that are closer are a tie
NEAR = 1.5  # a ratio that is off by no more than this factor is reproduced
SHARP = 0.5  # of the squared error of the mean image: predictions with less count as accurate
EARLY = 0.25  # the part of a run in which data-efficiency is measured


class Finding(NamedTuple):
    """The measures that decide, all of them, and what else there is to say."""

    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()

"""The empirical claims of the paper, in brief, and how each is tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dreamctl.results.claims import behavior, efficiency, performance, representation
from dreamctl.results.claims.evidence import Witness
from dreamctl.results.claims.thresholds import EARLY, FLOOR, KEPT, NEAR, SHARE, SHARP, SOLVES, TIE, WELL, Finding


@dataclass(frozen=True)
class Claim:
    """What the paper says and where; how it is tested; which thresholds are ours; the sweep that it needs."""

    number: int
    text: str
    place: str
    test: str
    ours: str
    sweep: str
    find: Callable[[Witness], Finding]


_TIE = f"closer than {TIE:.0f} points of 1000 is a tie"
_SOLVES = f"solved: at least {SOLVES} of the score with reconstruction, and {FLOOR:.0f} points"

CLAIMS = (
    Claim(
        1,
        "Dreamer's mean over the 20 tasks is 802 after 2 * 10^6 environment steps",
        "Figure 6, Section 5",
        "mean over 20 tasks of Dreamer's scores: interval inside 802 +- tolerance",
        f"reproduced: within {TIE:.0f} points",
        "performance",
        performance.dreamer_average,
    ),
    Claim(
        2,
        "PlaNet's mean over the same tasks is 312",
        "Figure 6",
        "mean over 20 tasks of PlaNet's scores: interval inside 312 +- tolerance",
        f"reproduced: within {TIE:.0f} points",
        "performance",
        performance.planet_average,
    ),
    Claim(
        3,
        "Dreamer is better than D4PG, a model-free agent with a mean of 786 after 10^9 environment steps",
        "Section 5, Figure 6",
        "mean over 20 tasks of Dreamer's scores above 786, as the paper compares; 786 is over 18 tasks: see the note",
        "none",
        "performance",
        performance.exceeds_d4pg,
    ),
    Claim(
        4,
        "Dreamer's final scores lie above those of the best model-free agents at convergence",
        "Figure 6",
        "mean difference to D4PG's published scores over the 18 tasks that it was run on above 0",
        "none",
        "performance",
        performance.exceeds_model_free,
    ),
    Claim(
        5,
        "Dreamer needs as little data as PlaNet",
        "Section 5, Figure 6",
        f"mean score over the first {EARLY:.0%} of the steps, Dreamer less PlaNet, over 20 tasks: not below a tie",
        f"{_TIE}; early: the first {EARLY:.0%} of the steps",
        "behavior",
        efficiency.data_efficiency,
    ),
    Claim(
        6,
        "10^6 environment steps take Dreamer 10 hours of training on one GPU, PlaNet 17 and D4PG 24",
        "Section 5, Implementation",
        f"hours of PlaNet over hours of Dreamer on one device near {efficiency.RATIO}; D4PG is not run here",
        f"near: within a factor of {NEAR}",
        "behavior",
        efficiency.computation_time,
    ),
    Claim(
        7,
        "All tasks share one set of hyper-parameters, with action repeat 2",
        "Section 5, Appendix B",
        "the configs of Dreamer's runs on 20 tasks are equal, with action repeat 2",
        "none",
        "performance",
        performance.same_settings,
    ),
    Claim(
        8,
        "At horizon 20 Dreamer is better than both alternatives on 15 of 20 tasks and level with them on 3",
        "Section 5, Long-horizon behavior; Figure 9",
        "tasks on which Dreamer is better than both alternatives: at least 15; on which one is better: at most 2",
        f"better: the interval of the difference is above 0; a tie: it holds 0, or scores closer than {TIE:.0f} points",
        "behavior",
        behavior.outperforms,
    ),
    Claim(
        9,
        "With a value model the horizon matters less",
        "Section 5, Figure 4",
        "mean over the 8 horizons of a seed's score divided by its best, Dreamer less each alternative: above 0 on 4 "
        "of 4 tasks (a share, since a method that scores low at every horizon varies little in points)",
        f"shares closer than {SHARE} are a tie",
        "horizon",
        behavior.robust_to_horizon,
    ),
    Claim(
        10,
        "With a value model short horizons do well, too",
        "Section 5, Figure 4",
        "mean score at horizons 3 and 5 over that at a seed's best horizon, mean over 4 tasks: high, and above that of "
        "the action model without value",
        f"short: 3 and 5; high: at least {KEPT} of the best",
        "horizon",
        behavior.short_horizons,
    ),
    Claim(
        11,
        "Dreamer solves tasks of long-horizon credit assignment, among them acrobot and hopper",
        "Figure 7",
        "Dreamer better than both alternatives on acrobot_swingup, hopper_hop and hopper_stand",
        f"{_TIE}; succeeds: better than both alternatives",
        "behavior",
        behavior.long_horizon_tasks,
    ),
    Claim(
        12,
        "Without values, by an action model on imagined rewards or by planning, only reactive tasks such as the "
        "walker's are solved",
        "Figure 7",
        "both alternatives succeed on the walker tasks (mean), and on none of the other tasks of Figure 7",
        f"succeeds: at least {SOLVES} of Dreamer's score",
        "behavior",
        behavior.shortsighted,
    ),
    Claim(
        13,
        "Reconstruction beats the contrastive objective on most tasks",
        "Section 5, Figures 8 and 10",
        "tasks on which reconstruction is better: more than 10 of 20",
        f"{_TIE}; most: 11 or more",
        "representation",
        representation.reconstruction_wins,
    ),
    Claim(
        14,
        "The contrastive objective solves about half of the tasks",
        "Figure 8",
        "tasks that it solves: 8 to 12 of 20",
        f"{_SOLVES}; about half: 8 to 12",
        "representation",
        representation.contrastive_solves_half,
    ),
    Claim(
        15,
        "Predicting rewards alone solves no task",
        "Section 5, Figure 8",
        "tasks that it solves: 0 of 20",
        _SOLVES,
        "representation",
        representation.reward_solves_none,
    ),
    Claim(
        16,
        "Action repeat 2 works well on most tasks",
        "Figure 11, Appendix F",
        "tasks on which action repeat 2 works well: more than 10 of 20",
        f"works well: at least {WELL} of the score of 1 and of 4",
        "action-repeat",
        representation.repeat_two_works,
    ),
    Claim(
        17,
        "After five images the model predicts the next 45 steps accurately",
        "Figure 5",
        "squared error of the 45 images against that of their mean image, hopper and walker runs: accurate in both",
        f"accurate: less than {SHARP} of the error of the mean image",
        "performance",
        representation.accurate_predictions,
    ),
    Claim(
        18,
        "Curves and scores are means of 3 seeds, of 2 for the action repeat",
        "Figures 6, 9, 10 and 11",
        "every cell of the five sweeps has been run to its end with 3 seeds (2 of action repeat)",
        "none",
        "all",
        performance.averages_over_seeds,
    ),
    Claim(
        19,
        "Dreamer is ahead of earlier methods in data-efficiency, computation time and final performance",
        "Abstract, Section 7",
        "claims 3 and 5, and fewer hours than PlaNet on one device",
        f"{_TIE}; as of claims 3 and 5",
        "behavior",
        efficiency.exceeds,
    ),
)

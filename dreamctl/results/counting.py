"""Of how many tasks (or other groups) something surely holds, when hardly any of them shows it for certain.

Twenty tasks that each show a difference at p = 0.1 say more together than any of them. That fewer than u of n groups
hold is excluded by the n - u + 1 groups that show it least: even they, at least one of which would have to hold, are
too much for chance when combined by Fisher's method (partial conjunction: Benjamini and Heller, 2008). Groups share no
runs, so their chances are independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def least(chances: Any, level: float) -> np.ndarray:
    """Of how many groups a hypothesis surely holds, [...]; chances: the one-sided p of each that it does not, [..., n].

    That it holds of fewer has a chance of at most `level`.
    """
    from scipy.special import chdtrc

    ordered = np.sort(np.asarray(chances, float), -1)
    logs = np.log(np.maximum(ordered, np.finfo(float).tiny))
    weakest = np.cumsum(logs[..., ::-1], -1)[..., ::-1]  # the sums over each group and all that show it less
    many = np.arange(ordered.shape[-1], 0, -1)
    return np.logical_and.accumulate(chdtrc(2 * many, -2 * weakest) <= level, -1).sum(-1)

"""Of how many tasks (or other groups) something surely holds, when hardly any of them shows it for certain.

Twenty tasks that each show a difference at p = 0.1 say more together than any of them. That fewer than u of n groups
hold is excluded by the n - u + 1 groups that show it least: even they, at least one of which would have to hold, are
too much for chance when combined by Fisher's method (partial conjunction: Benjamini and Heller, 2008). Groups share no
runs, so their chances are independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_FARTHEST = 7.5  # standard deviations; beyond, levels are lost in rounding


def chance(distance: float, half: Callable[[float], float]) -> float:
    """The one-sided p of an estimate that lies `distance` above a bound.

    half: half the width of its interval at a two-sided level; half of the level at which it ends at the bound is p.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def short(z: float) -> float:
        return half(2 * float(ndtr(-z))) - abs(distance)

    z = _FARTHEST if short(_FARTHEST) <= 0 else brentq(short, 0, _FARTHEST, xtol=1e-3)
    return float(ndtr(-z if distance > 0 else z))


def least(chances: Sequence[float], level: float) -> int:
    """Of how many groups a hypothesis surely holds; chances: the one-sided p of each that it does not.

    That it holds of fewer has a chance of at most `level`.
    """
    from scipy.special import chdtrc

    ordered = sorted(chances)
    for count in range(len(ordered)):
        weakest = ordered[count:]
        if chdtrc(2 * len(weakest), -2 * math.fsum(map(math.log, weakest))) > level:
            return count
    return len(ordered)

"""How often a web process looks for garbage that holds itself (gc): seldom, since it holds much.

Nearly all garbage is freed without. A full look goes through every object there is, fifty for each
open stream, while nobody is served: 0.3 s where 8,000 are open, as events and pages wait. By
Python's own rules the rows that the watch reads every five seconds bring one about twice a minute.
"""

from __future__ import annotations

import gc
from typing import Final

# New objects before the young are looked at, such looks before the middle-aged are, and such looks
# before all are (and only if these grew by a quarter since). Python's are 700, 10 and 10.
THRESHOLDS: Final = (10_000, 10, 50)


def look_seldom() -> None:
    """Have full looks be rare, and leave out of them what was made until now: code and settings."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

"""Durations as counts in buckets, each 9 % longer: counts add up, and a quantile of them is off by 4.4 %."""

import math
from collections.abc import Mapping
from typing import Final

#: So many buckets until durations are twice as long, so that powers of two are bounds of buckets.
_PER_DOUBLING: Final = 8

#: A quantile differs from the true one by this share of it at most.
PRECISION: Final = 0.044

#: What is shorter than a microsecond, and what is longer than any flow, is in the first and last bucket.
_FIRST: Final = -80
_LAST: Final = 45 * _PER_DOUBLING


def bucket_of(milliseconds: float) -> int:
    """Return the number of the bucket whose upper bound is the first that is not below a duration."""
    if milliseconds <= 0:
        return _FIRST
    # The logarithm of the fraction alone: of the whole, a hair above a power of two would be that power.
    fraction, doublings = math.frexp(milliseconds)
    bucket = doublings * _PER_DOUBLING + math.ceil(math.log2(fraction) * _PER_DOUBLING)
    return min(max(bucket, _FIRST), _LAST)


def upper_bound_ms(bucket: int) -> float:
    """Return the longest duration that a bucket holds."""
    return float(2 ** (bucket / _PER_DOUBLING))


def quantile_ms(counts: Mapping[int, int], share: float) -> float | None:
    """Return the duration that this share of all is not longer than; None where there are none."""
    total = sum(counts.values())
    if total <= 0:
        return None
    rank, seen = max(1, math.ceil(share * total)), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            break
    if bucket == _FIRST:
        return 0.0
    # Where it is as far from both bounds, in shares of itself.
    growth = 2 ** (1 / _PER_DOUBLING)
    return upper_bound_ms(bucket) * 2 / (growth + 1)


def count_up_to(counts: Mapping[int, int], doubling: int) -> int:
    """Return how many took at most 2 to the power of `doubling` milliseconds, exactly."""
    return sum(count for bucket, count in counts.items() if bucket <= doubling * _PER_DOUBLING)

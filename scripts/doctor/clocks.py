"""Whether a server's clock agrees with ours."""

from typing import Final

from masterflow.tasks.check_result import CheckResult

#: Well below the 5 minutes that an event may be ahead before it is set aside.
MOST_SKEW_S: Final = 60.0


def clock_result(name: str, *, there_s: float, here_s: float) -> CheckResult:
    """Return whether two clocks, in seconds since 1970, agree."""
    skew_s = there_s - here_s
    if abs(skew_s) <= MOST_SKEW_S:
        return CheckResult(f"{name} clock")
    way = "ahead of" if skew_s > 0 else "behind"
    found = f"The clock of {name} is {abs(skew_s):.0f} s {way} this machine's"
    advice = "set both by NTP, for events over 5 minutes ahead of a worker are set aside"
    return CheckResult(f"{name} clock", "problem", found, advice)

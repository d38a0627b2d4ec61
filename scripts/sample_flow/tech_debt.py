"""How much debt a server carries: support that has ended or ends soon, and patches that are late."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from masterflow.scripts.sample_flow.cleansing import Server

#: The day the vendor's regular support ends, by the beginning of the system's name.
END_OF_SUPPORT: Final[dict[str, date]] = {
    "Windows Server 2008": date(2020, 1, 14),
    "Windows Server 2012": date(2023, 10, 10),
    "Windows Server 2016": date(2027, 1, 12),
    "Windows Server 2019": date(2029, 1, 9),
    "Windows Server 2022": date(2031, 10, 14),
    "Red Hat Enterprise Linux 6": date(2020, 11, 30),
    "Red Hat Enterprise Linux 7": date(2024, 6, 30),
    "Red Hat Enterprise Linux 8": date(2029, 5, 31),
    "Red Hat Enterprise Linux 9": date(2032, 5, 31),
    "CentOS 7": date(2024, 6, 30),
    "Oracle Linux 8": date(2029, 7, 31),
    "SUSE Linux Enterprise Server 12": date(2024, 10, 31),
    "SUSE Linux Enterprise Server 15": date(2031, 7, 31),
    "Ubuntu 18.04": date(2023, 5, 31),
    "Ubuntu 20.04": date(2025, 5, 31),
    "Ubuntu 22.04": date(2027, 4, 30),
    "Debian 12": date(2028, 6, 30),
    "AIX 7.1": date(2023, 4, 30),
    "Solaris 10": date(2018, 1, 31),
}

_SOON: Final = timedelta(days=365)
_PATCHES_DUE: Final = timedelta(days=180)


@dataclass(frozen=True)
class Debt:
    """A server's debt: a score from 0 (none) to 100, and the reasons for it."""

    score: int
    reasons: tuple[str, ...]
    is_out_of_support: bool


def assess(server: Server, *, today: date) -> Debt:
    """Return the debt of one server."""
    points: dict[str, int] = {}
    ends_on = end_of_support(server.operating_system)
    is_out = ends_on is not None and ends_on < today
    if ends_on and is_out:
        points[f"support ended on {ends_on}"] = 60
    elif ends_on and ends_on - today < _SOON:
        points[f"support ends on {ends_on}"] = 30
    if server.last_patched and today - server.last_patched > _PATCHES_DUE:
        points[f"not patched since {server.last_patched}"] = 25
    if is_out and server.criticality in {"high", "critical"}:
        points[f"{server.criticality} application"] = 15
    return Debt(sum(points.values()), tuple(points), is_out)


def end_of_support(operating_system: str) -> date | None:
    """Return the day a system's support ends, or None when it is not known."""
    return next((day for name, day in END_OF_SUPPORT.items() if operating_system.startswith(name)), None)

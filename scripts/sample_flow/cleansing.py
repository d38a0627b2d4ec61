"""Turns trusted rows into servers whose fields all say the same thing in the same way."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from masterflow.scripts.sample_flow import cell_values
from masterflow.scripts.sample_flow.csv_file import Row

_ENVIRONMENTS: Final = {
    "production": ("production", "prod", "prd", "live"),
    "staging": ("staging", "stage", "stg", "uat", "preprod"),
    "test": ("test", "tst", "qa"),
    "development": ("development", "dev"),
}
_SYSTEMS: Final = (
    (r"^microsoft ", ""),
    (r"^rhel\b|^(?:linux )?red hat\b(?: enterprise linux)?", "Red Hat Enterprise Linux"),
    (r"^ubuntu linux\b", "Ubuntu"),
    (r"^sles\b|^suse\b(?: linux enterprise server)?", "SUSE Linux Enterprise Server"),
    (r"^win(?:dows)?(?: server)?\b", "Windows Server"),
)


@dataclass(frozen=True)
class Server:
    """A server as the following phases see it; what the file did not tell is None or empty."""

    hostname: str
    operating_system: str
    environment: str = "unknown"
    role: str = ""
    ip_address: str | None = None
    application: str = ""
    owner: str = ""
    criticality: str = "medium"
    location: str = ""
    cpu_cores: int | None = None
    ram_gb: float | None = None
    storage_gb: float | None = None
    installed_on: date | None = None
    last_patched: date | None = None
    monthly_cost: float | None = None
    depends_on: tuple[str, ...] = ()


def cleanse(row: Row, columns: dict[str, str]) -> Server:
    """Return the server of a row that has no issue."""

    def cell(field: str) -> str:
        return row.cells.get(columns.get(field, ""), "")

    def value(field: str) -> Any:
        header = columns.get(field, "")
        is_told = cell(field) and header not in row.notation.unreadable
        return row.notation.read(field, header, cell(field)) if is_told else None

    return Server(
        hostname=cell_values.hostname(cell("hostname")),
        operating_system=_system(cell("operating_system"), cell("os_version")),
        environment=_environment(cell("environment")),
        role=cell("role").lower(),
        ip_address=value("ip_address"),
        application=cell("application"),
        owner=cell("owner"),
        criticality=cell("criticality").lower() or "medium",
        location=cell("location"),
        cpu_cores=value("cpu_cores"),
        ram_gb=value("ram_gb"),
        storage_gb=value("storage_gb"),
        installed_on=value("installed_on"),
        last_patched=value("last_patched"),
        monthly_cost=value("monthly_cost"),
        depends_on=cell_values.hostnames(cell("depends_on")),
    )


def _environment(text: str) -> str:
    word = text.lower()
    return next((name for name, words in _ENVIRONMENTS.items() if word in words), word or "unknown")


def _system(text: str, version: str) -> str:
    """Return the system with its version, which some exports have in a column of its own."""
    if version[:1].isdigit() and not re.search(r"\d", text):
        text = f"{text} {version}"
    for pattern, name in _SYSTEMS:
        text = re.sub(pattern, name, text, flags=re.IGNORECASE)
    return text

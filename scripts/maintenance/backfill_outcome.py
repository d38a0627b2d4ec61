"""What a backfill found and did, for people and as JSON."""

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Final

from masterflow.scripts.maintenance.backfill_search import Survey
from masterflow.tasks.backfill.catch_up import Report
from masterflow.tasks.backfill.task import SWITCHED_OFF

_MOST_NAMED: Final = 20


@dataclass(slots=True)
class Outcome:
    """What a run found and did, also when it was interrupted."""

    survey: Survey = field(default_factory=Survey)
    report: Report = field(default_factory=Report)
    seconds: float = 0.0
    is_complete: bool = False

    @property
    def is_well(self) -> bool:
        """Return whether nothing failed, and no worker left its flows alone because enrichment is off."""
        return not self.report.failed and SWITCHED_OFF not in self.report.skipped.values()

    def document(self) -> dict[str, object]:
        """Return it as JSON."""
        own = {"seconds": round(self.seconds, 3), "is_complete": self.is_complete}
        return {
            **own,
            "looked_at": self.report.looked_at,
            **asdict(self.survey),
            **self.report.model_dump(),
        }

    def show(self, *, as_json: bool) -> None:
        """Print it, and what failed on stderr as well."""
        if as_json:
            print(json.dumps(self.document(), indent=2))
            return
        report, survey = self.report, self.survey
        for flow_id, words in report.would_add.items():
            print(f"{flow_id} would get {', '.join(words)}")
        print(
            f"{survey.scanned} masters scanned, {report.looked_at} looked at: {report.changed} changed,"
            f" {report.would_change} would change, {report.unchanged} lacked nothing,"
            f" {len(report.skipped)} skipped, {len(report.failed)} failed, in {self.seconds:.1f} s."
        )
        if report.added:
            print("Added: " + ", ".join(f"{count} {kind}" for kind, count in sorted(report.added.items())))
        _name("Masters with several children", survey.several_children)
        _name("Masters with a child of another tenant", survey.foreign_child)
        _name(
            "Children without a master",
            [f"{child} -> {master}" for child, master in survey.without_master.items()],
        )
        _name("Skipped", [f"{flow_id}: {reason}" for flow_id, reason in report.skipped.items()])
        for flow_id, reason in report.failed.items():
            print(f"Failed: {flow_id}: {reason}", file=sys.stderr)


def _name(title: str, names: list[str]) -> None:
    if names:
        print(f"{title}: {len(names)}")
        for name in names[:_MOST_NAMED]:
            print(f"  {name}")
        if len(names) > _MOST_NAMED:
            print(f"  and {len(names) - _MOST_NAMED} more; --json names all")

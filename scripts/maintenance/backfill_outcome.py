"""What a backfill found and did, for people and as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Final

from masterflow.scripts.maintenance.backfill_search import Survey
from masterflow.scripts.terminal.text import complain, say, say_json
from masterflow.tasks.backfill.catch_up import BackfillSummary
from masterflow.tasks.backfill.task import SWITCHED_OFF

_MOST_NAMED: Final = 20


@dataclass(slots=True)
class Outcome:
    """What a run found and did, also when it was interrupted."""

    survey: Survey = field(default_factory=Survey)
    summary: BackfillSummary = field(default_factory=BackfillSummary)
    seconds: float = 0.0
    is_complete: bool = False

    @property
    def is_well(self) -> bool:
        """Return whether nothing failed, and no worker left its flows alone because enrichment is off."""
        return not self.summary.failed and SWITCHED_OFF not in self.summary.skipped.values()

    def document(self) -> dict[str, object]:
        """Return it as JSON."""
        own = {"seconds": round(self.seconds, 3), "is_complete": self.is_complete}
        return {
            **own,
            "looked_at": self.summary.looked_at,
            **asdict(self.survey),
            **self.summary.model_dump(),
        }

    def show(self, *, as_json: bool) -> None:
        """Print it, and what failed on stderr as well."""
        if as_json:
            say_json(self.document(), indent=2)
            return
        summary, survey = self.summary, self.survey
        for flow_id, words in summary.would_add.items():
            say(f"{flow_id} would get {', '.join(words)}")
        say(
            f"{survey.scanned} masters scanned, {summary.looked_at} looked at: {summary.changed} changed,"
            f" {summary.would_change} would change, {summary.unchanged} lacked nothing,"
            f" {len(summary.skipped)} skipped, {len(summary.failed)} failed, in {self.seconds:.1f} s."
        )
        if summary.added:
            say("Added: " + ", ".join(f"{count} {kind}" for kind, count in sorted(summary.added.items())))
        _name("Masters with several children", survey.several_children)
        _name("Masters with a child of another tenant", survey.foreign_child)
        _name(
            "Children without a master",
            [f"{child} -> {master}" for child, master in survey.without_master.items()],
        )
        _name("Tables left alone", [f"{table}: {reason}" for table, reason in survey.left_alone.items()])
        _name("Skipped", [f"{flow_id}: {reason}" for flow_id, reason in summary.skipped.items()])
        for flow_id, reason in summary.failed.items():
            complain(f"Failed: {flow_id}: {reason}")


def _name(title: str, names: list[str]) -> None:
    if names:
        say(f"{title}: {len(names)}")
        for name in names[:_MOST_NAMED]:
            say(f"  {name}")
        if len(names) > _MOST_NAMED:
            say(f"  and {len(names) - _MOST_NAMED} more; --json names all")

"""From records to reports: pure, so that the same records make the same row in whatever order they come."""

from masterflow.bridges.crewai.fold.fold import Fold
from masterflow.bridges.crewai.fold.reports import Report, Standing, Told, Usage
from masterflow.bridges.crewai.fold.rules import Rules

__all__ = ["Fold", "Report", "Rules", "Standing", "Told", "Usage"]

"""The live page: rendered here, one style sheet and one script of our own, no other host."""

from masterflow.status.page.rendering import problem_page
from masterflow.status.page.routes import router

__all__ = ["problem_page", "router"]

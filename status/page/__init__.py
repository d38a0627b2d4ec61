"""The live page: rendered here, one style sheet and one script of our own, no other host."""

from masterflow.status.page.routes import router

__all__ = ["router"]

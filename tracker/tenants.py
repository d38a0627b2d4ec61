"""Whose flow it is, as callers have it: a `FlowContext`, or a request's context of their own."""

from typing import Protocol, cast

from masterflow.domain import FlowContext
from masterflow.domain.tenant import flow_context


class TenantIds(Protocol):
    """Whatever names a client account, an engagement and a user, such as a `FlowContext`."""

    @property
    def client_account_id(self) -> object:
        """A UUID or its text."""

    @property
    def engagement_id(self) -> object:
        """A UUID or its text."""

    @property
    def user_id(self) -> object:
        """A text or a UUID."""


def tenant_of(context: TenantIds) -> FlowContext:
    """Return the context's tenant and user; of one that has none, itself."""
    if isinstance(context, FlowContext):
        return context
    try:
        return flow_context(context.client_account_id, context.engagement_id, context.user_id)
    except (AttributeError, ValueError):
        # Each report with it will be refused, with the reason.
        return cast("FlowContext", context)

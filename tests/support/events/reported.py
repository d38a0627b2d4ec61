"""Whose flow unit tests report of."""

from uuid import UUID

from masterflow.domain import FlowContext

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")
FLOW_ID = UUID(int=3)

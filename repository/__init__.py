"""What is true now: the two tables, the one merge, the state store, the encrypted cache, the flag."""

from masterflow.repository.blocking.states import BlockingFlowStates
from masterflow.repository.discovery_flow import DiscoveryFlowRepository
from masterflow.repository.flow_state_store import PostgresFlowStateStore
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.secure_cache import SecureCache

__all__ = [
    "BlockingFlowStates",
    "CrewAIFlowStateExtensionsRepository",
    "DiscoveryFlowRepository",
    "PostgresFlowStateStore",
    "SecureCache",
]

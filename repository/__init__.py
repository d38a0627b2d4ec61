"""What is true now: the two tables, the one merge, the state store, the encrypted cache, the flag."""

from repository.discovery_flow import DiscoveryFlowRepository
from repository.flow_state_store import PostgresFlowStateStore
from repository.master_flow import CrewAIFlowStateExtensionsRepository
from repository.secure_cache import SecureCache

__all__ = [
    "CrewAIFlowStateExtensionsRepository",
    "DiscoveryFlowRepository",
    "PostgresFlowStateStore",
    "SecureCache",
]

"""Fills master rows from LangGraph's callbacks: `flow_callback(context)` in the config of a run.

Importing this does not import LangGraph; `flow_callback` needs langchain-core, which LangGraph brings.
"""

from masterflow.bridges.langgraph.handler import flow_callback

__all__ = ["flow_callback"]

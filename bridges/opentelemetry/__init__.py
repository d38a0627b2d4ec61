"""Fills master rows from spans of models and agents: `provider.add_span_processor(flow_processor(context))`.

Importing this does not import OpenTelemetry; `flow_processor` needs its SDK.
"""

from masterflow.bridges.opentelemetry.processor import flow_processor

__all__ = ["flow_processor"]

"""Shorter plans for the same component. The compiler's."""

from __future__ import annotations

from wherry.wasm.component.linking import Plan


def shorten(plan: Plan, data: bytes) -> Plan:
    """The plan."""
    return plan

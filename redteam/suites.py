"""The suites by name. A suite is `async def play(room: Room) -> Report` in a module of its own."""

from __future__ import annotations

from importlib import import_module

from redteam.report import Suite

SUITES: dict[str, str] = {
    "agentdojo": "redteam.agentdojo.suite",
    "ssrf": "redteam.ssrf",
    "paths": "redteam.paths",
    "smuggling": "redteam.smuggling",
    "tokens": "redteam.tokens",
    "tenants": "redteam.tenants",
    "approvals": "redteam.approvals",
    "secrecy": "redteam.secrecy",
    "logs": "redteam.logs",
    "hidden": "redteam.hidden",
    "poisoned": "redteam.poisoned",
}
"""Name of each suite, and its module."""


def load(name: str) -> Suite:
    """The suite of that name."""
    return import_module(SUITES[name]).play

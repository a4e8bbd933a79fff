"""What counting calls in the journal gives back."""

from __future__ import annotations

from typing import NamedTuple

NOT_COUNTED = ("rate_limited", "quota_exceeded", "quota_pending", "share_expired")
"""Codes of the calls that a limit refused; no limit counts them."""


class CallCount(NamedTuple):
    """How many calls one agent made of one tool.

    Attributes:
        agent: who called.
        mad: the tool's MAD; empty where there was no such tool.
        calls: how many, refused ones too, unless a limit refused them.
        tool, tenant: the tool, and whose agent it was.
    """

    agent: str
    mad: str
    calls: int
    tool: str = ""
    tenant: str = ""

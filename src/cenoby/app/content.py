"""The content policy of a colony: made with its ports, completed with its judge and the file that it follows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from cenoby.access.flows.labels import TAINT
from cenoby.app.rule_wiring import make_judge
from cenoby.app.shipped_mads import Parts
from cenoby.kernel.events import Event
from cenoby.kernel.settings_content import ContentSettings
from cenoby.protection.content.rules_file import RulesFile

_JUDGE_ACCOUNT = "colony:content-judge"
"""Who pays for its judge: no agent can have such a name."""


def further_labels(settings: ContentSettings) -> dict[str, Any]:
    """What the flows must keep so that the content policy can go by it."""
    return {"further": frozenset({*settings.labels, TAINT}), "further_seconds": settings.label_seconds}


async def complete_content(parts: Parts, note: Callable[[Event], object], stack: AsyncExitStack) -> None:
    """Give the policy its judge and its file, where the settings name them.

    Args:
        parts: the colony's.
        note: journals an event.
        stack: ends what is begun here.

    Raises:
        ContentInvalid: the file cannot be used.
        SettingsError: the judge's model is none of `models`.
    """
    settings, policy = parts.settings.content, parts.ports.content
    if settings.judge.models:
        policy.judge = make_judge(parts, settings.judge, "content.judge", _JUDGE_ACCOUNT)
    if settings.file is not None:
        followed = RulesFile(settings, policy.use, note, parts.node)
        await followed.start()
        stack.push_async_callback(followed.stop)
        parts.ports.metrics.watch(
            "content_rules_rejected",
            "1 while the newest file of model rules cannot be used.",
            lambda: float(bool(followed.problem)),
        )

"""What is wrong with policy files, all of it at once and each with its place."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cenoby.kernel.errors import InvalidInput


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        file: where.
        line: its first line there, from 1; 0 where the whole file is meant.
        policy: the policy's `@id`, where it has one.
        problem: what is wrong and what to do.
    """

    file: str
    line: int
    policy: str
    problem: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.policy + ': ' if self.policy else ''}{self.problem}"


class PolicyInvalid(InvalidInput):
    """Policies, tiers or a table of expected decisions cannot be used."""

    codes = {
        "policy_invalid": "A policy file, a tiers file or a table of expected decisions is wrong; each place is named.",
        "policy_subject_unknown": "An agent or a tool that a question about policy names is not known here.",
    }

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> PolicyInvalid:
        """The error that names all of them, in the order of files and lines."""
        ordered = sorted(problems, key=lambda one: (one.file, one.line))
        return cls(
            "policy_invalid",
            "\n".join(str(one) for one in ordered),
            details={"problems": [msgspec.to_builtins(one) for one in ordered]},
        )


class Unusable(Exception):
    """Part of a policy that the compiler refuses; its text says why. It becomes a `Problem` with a place."""

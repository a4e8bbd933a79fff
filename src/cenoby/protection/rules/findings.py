"""What a rule finds: which rule, how bad, and where; never what was found."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal, NamedTuple

RuleSet = Literal["credentials", "paths", "destructive", "leaks", "egress", "injection"]


class Level(IntEnum):
    """What a finding asks for; the larger is the stricter."""

    DOUBT = 1
    """The rules cannot tell: the judge is asked where there is one."""
    ASK = 2
    """A person decides."""
    DENY = 3
    """Nobody may, at no level of autonomy."""

    def __str__(self) -> str:
        return self.name.lower()


class Finding(NamedTuple):
    """One place where one rule found something.

    Attributes:
        rule: its id, `set.name`; `RULES` has the meaning.
        level: what it asks for here.
        place: the argument, as in `files[2].path`.
    """

    rule: str
    level: Level
    place: str = ""

    @property
    def family(self) -> str:
        """The set that the rule belongs to."""
        return self.rule.partition(".")[0]


Raw = tuple[str, Level]
"""A rule's id and level, from a check that does not know the place."""

RULES: Mapping[str, str] = {
    "credentials.secret": "a key, token or password outside the arguments that are declared for one",
    "paths.escape": "a path that climbs out of where it starts",
    "paths.encoded": "a path whose dots, slashes or end are hidden by an encoding",
    "paths.outside": "an absolute path outside the allowed directories",
    "destructive.remove_tree": "a command that deletes a tree of files without asking",
    "destructive.remove_files": "a command that deletes a tree of files",
    "destructive.device": "a command that overwrites a device or makes a file system",
    "destructive.fork_bomb": "a command that multiplies itself until the machine stops",
    "destructive.drop_database": "a statement that drops a whole database or schema",
    "destructive.drop_table": "a statement that drops a table",
    "destructive.truncate": "a statement that empties a table",
    "destructive.delete_all": "a DELETE that no condition holds back",
    "destructive.update_all": "an UPDATE that no condition holds back",
    "destructive.force_push": "a push that overwrites history",
    "destructive.discard_work": "a command that discards uncommitted work",
    "destructive.open_permissions": "a command that opens a tree of files to everybody",
    "destructive.piped_shell": "a command that runs what another one prints",
    "destructive.mentioned": "prose with a destructive command in it, on its way outside",
    "leaks.secret_place": "a place where secrets lie",
    "leaks.personal": "a payment card or a national id on its way outside",
    "leaks.opaque": "a long piece of unreadable data on its way outside",
    "egress.inside": "a URL that leads into the machine or its network",
    "egress.scheme": "a URL of a scheme that reads files or speaks to inside services",
    "injection.override": "text that tells a model to drop its instructions",
    "injection.role": "text that gives itself out as the system, the assistant or a tool",
    "injection.conceal": "text that tells a model to hide something from people",
    "injection.exfiltrate": "text that tells a model to send secrets somewhere",
    "injection.order": "text that orders a model to use a tool or read a file",
    "injection.hidden": "characters that hide text from people",
    "injection.unread": "a description in another language or alphabet, which the rules cannot read",
    "injection.beacon": "an image whose address carries data away",
    "engine.too_much": "more layers or more encoded text than the rules can look into",
}
"""Every rule by its id, with what it finds."""

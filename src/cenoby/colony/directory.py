"""What a node offers: the MADs that it hosts and those that are elsewhere, and their tools, prompts and resources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cenoby.colony.errors import CallInvalid
from cenoby.colony.mad import Mad, ResourceKind
from cenoby.colony.nodes.answers import MadOffer
from cenoby.colony.nodes.offers import RemoteMad, offer_of
from cenoby.colony.prompts import HostedPrompt, hosted_prompts, prompt_tool
from cenoby.colony.tool import Tool


class Directory:
    """The part of a host that is looked up. What is hosted here comes before what is elsewhere."""

    def __init__(self) -> None:
        self._mads: dict[str, Mad] = {}
        self._tools: dict[str, Tool] = {}
        self._leaving: set[str] = set()
        self._elsewhere: Mapping[str, RemoteMad] = {}
        self._offers: dict[str, MadOffer] = {}
        self._offered: dict[str, Tool] = {}
        self.screen: Callable[[Tool], Tool] | None = None
        """Puts another tool in the place of one that may not be listed and called as it is."""

    def relist(self) -> None:
        """Take note that what is here, or elsewhere, is another than before."""
        elsewhere = {name: tool for mad in self._elsewhere.values() for name, tool in mad.tools.items()}
        here = {name: tool for name, tool in self._tools.items() if self.hosts(tool.mad)}
        offered = {**elsewhere, **here}
        screen = self.screen
        self._offered = offered if screen is None else {name: screen(tool) for name, tool in offered.items()}

    @property
    def mads(self) -> Iterable[Mad]:
        """The hosted MADs, in the order in which they started."""
        return self._mads.values()

    def hosts(self, name: str) -> bool:
        """Whether a MAD is hosted here, and new calls of it are served here."""
        return name in self._mads and name not in self._leaving

    def own_tools(self, name: str) -> list[Tool]:
        """The declared tools of a MAD that is hosted here."""
        return [tool for tool in self._tools.values() if tool.mad == name]

    def offer(self, name: str) -> MadOffer:
        """What a MAD that is hosted here offers just now, for other nodes."""
        if name not in self._offers:
            self._offers[name] = offer_of(self._mads[name], self.own_tools(name))
        return self._offers[name]

    @property
    def own_mads(self) -> list[str]:
        """The names of the MADs that are hosted here, and whose new calls are served here."""
        return [name for name in self._mads if name not in self._leaving]

    def __contains__(self, name: object) -> bool:
        """Whether a MAD of that name is hosted, here or elsewhere."""
        return name in self._mads or name in self._elsewhere

    @property
    def mad_names(self) -> list[str]:
        """The names of the MADs that are hosted, here or elsewhere."""
        return list({**self._mads, **self._elsewhere})

    @property
    def tools(self) -> Iterable[Tool]:
        """All declared tools of all hosted MADs; those of their prompts are not among them."""
        return self._offered.values()

    @property
    def resources(self) -> list[ResourceKind]:
        """All kinds of resources that hosted MADs publish."""
        here = [kind for mad in self._here() for kind in mad.resources()]
        return here + [kind for mad in self._not_here() for kind in mad.resources]

    @property
    def prompts(self) -> list[HostedPrompt]:
        """All prompts that hosted MADs offer."""
        return hosted_prompts(self._here()) + [prompt for mad in self._not_here() for prompt in mad.prompts]

    def find(self, name: str) -> Tool | None:
        """The declared tool of that canonical name, or None."""
        return self._offered.get(name)

    def tool(self, name: str) -> Tool:
        """The tool of that canonical name, be it a declared one or a prompt's.

        Raises:
            CallInvalid: there is none.
        """
        found = self._offered.get(name) or prompt_tool(self._here(), name) or self._prompt_tool_elsewhere(name)
        if found is None:
            # Near names are not offered: the caller may not be allowed to know them, and to find them takes long.
            raise CallInvalid("tool_unknown", f"No tool is named {name[:64]!r}; list the tools to see what there is.")
        return found

    def _own_tool(self, name: str) -> Tool:
        found = self._tools.get(name) or prompt_tool(self._mads.values(), name)
        if found is None:
            raise CallInvalid("tool_unknown", f"No tool is named {name[:64]!r} any more; list the tools again.")
        return found

    def _here(self) -> list[Mad]:
        return [mad for mad in self._mads.values() if mad.name not in self._leaving]

    def _not_here(self) -> list[RemoteMad]:
        return [mad for mad in self._elsewhere.values() if not self.hosts(mad.name)]

    def _prompt_tool_elsewhere(self, name: str) -> Tool | None:
        return next((tool for mad in self._not_here() if (tool := mad.prompt_tool(name))), None)

"""The settings of egress: what may leave the machine, and the form of the rules in a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cenoby.kernel.settings_section import Count, HostPort, Seconds, Section

Port = Annotated[int, Field(ge=1, le=65535)]


class EgressSettings(Section):
    """What may leave the machine."""

    allow: list[HostPort] = []
    """Inside addresses that may be reached all the same, as host:port."""
    ports: list[Port] = [80, 443]
    """Ports outside that may be reached; `allow` adds others by name."""
    timeout: Seconds = 20
    """Seconds for one whole fetch, redirects included."""
    max_bytes: Count = 8 * 1024 * 1024
    """Largest answer, bytes after decompression."""
    max_redirects: Annotated[int, Field(ge=0)] = 5
    """Redirects followed, each checked again."""
    default: Literal["allow", "deny"] = "allow"
    """Of a call's request that no rule lets out. The colony's own parts go where the settings send them."""
    rules: Path | None = None
    """A YAML file of rules on who may reach what; relative to the settings file; followed while it runs."""
    look_every: Seconds = 0.2
    """Seconds between looks at that file; a change holds after two looks that see the same."""
    longest_query: Annotated[int, Field(ge=0)] = 2048
    """Most characters of a URL's query (after `?`): it carries data out."""
    requests_per_hour: Count = 100_000
    """Requests of one agent in any 60 minutes, redirects included; counted by each process for itself."""
    bytes_per_hour: Count = 1024 * 1024 * 1024
    """Bytes of URLs and bodies that one agent may send out in any 60 minutes; counted likewise."""


class EgressRule(Section):
    """One rule of the file `egress.rules`: about whom, about which requests, and what it says of them.

    Of each list, any entry may fit; an empty one fits all. All lists must fit for the rule to do so.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    """What refusals call it."""
    effect: Literal["allow", "only", "deny", "limit"]
    """`allow` lets out under `default: deny`; `only` refuses its people all else; `deny` refuses; `limit` counts."""
    agents: list[str] = []
    """Names of agents."""
    roles: list[str] = []
    """Roles, of which the agent has one."""
    tenants: list[str] = []
    """Tenants."""
    tools: list[str] = []
    """Tools for which the request is made: `mads.marco.fetch`, or all of a MAD, `mads.marco.*`."""
    parts: list[Literal["approvals", "evidence", "judge", "oauth", "secrets"]] = []
    """Parts of the colony that make requests for no call."""
    schemes: list[Literal["http", "https"]] = []
    """Schemes."""
    hosts: list[Annotated[str, Field(pattern=r"^(\*\.)?[^*/@\s?#]+$", max_length=253)]] = []
    """Names or addresses, or everything below a name: `*.example.org`."""
    ports: list[Port] = []
    """Ports."""
    methods: list[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]] = []
    """HTTP methods."""
    requests_per_hour: Count | None = None
    """Requests that fit this rule, of one agent in any 60 minutes."""
    bytes_per_hour: Count | None = None
    """Bytes of their URLs and bodies, likewise."""
    longest_query: Annotated[int, Field(ge=0)] | None = None
    """Most characters of their query."""


class EgressRules(Section):
    """The file `egress.rules` as a whole."""

    rules: list[EgressRule]
    """The rules; their order does not matter."""

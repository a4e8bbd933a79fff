"""The typed settings of a colony: what `cenoby.yaml` and `CENOBY_*` may say.

Reading them is `kernel/settings_file.py`; `cenoby config schema` prints this file as JSON Schema.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_serializer, field_validator

from cenoby.kernel.settings_apis import ColonySettings, PublishSettings, Word
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.kernel.settings_autonomy import AutonomySettings
from cenoby.kernel.settings_budgets import BudgetSettings
from cenoby.kernel.settings_content import ContentSettings
from cenoby.kernel.settings_dlp import DlpSettings
from cenoby.kernel.settings_egress import EgressSettings
from cenoby.kernel.settings_evidence import EvidenceSettings
from cenoby.kernel.settings_files import FileSettings
from cenoby.kernel.settings_flows import FlowSettings
from cenoby.kernel.settings_identity import AgentSettings, Name, OAuthSettings, TokenSettings
from cenoby.kernel.settings_policy import PolicySettings
from cenoby.kernel.settings_rules import RuleSettings
from cenoby.kernel.settings_secrets import SecretSettings
from cenoby.kernel.settings_section import Count, HostPort, Seconds, Section
from cenoby.kernel.settings_vault import VaultSettings


class GatewaySettings(Section):
    """The one address that clients connect to."""

    tool_names: Literal["alias", "dotted"] = "alias"
    """How `tools/list` spells names: `mads__rogers__join` (every client accepts it) or `mads.rogers.join`."""
    allowed_hosts: list[str] = []
    """Host headers accepted besides the listen address and loopback names, e.g. `cenoby.example:443`."""
    allowed_origins: list[str] = []
    """Origin headers accepted besides loopback ones, e.g. `https://app.example`."""
    max_body_bytes: Count = 4 * 1024 * 1024
    """Largest request body, bytes."""
    max_inflight: Count = 512
    """Requests served at once, a sixteenth of them kept for agents that may decide or administer; one more is 503."""
    max_inflight_per_agent: Count | None = None
    """Requests of one agent served at once; a quarter of `max_inflight` unless said."""
    max_streams: Count = 1024
    """Open event streams, and calls that only wait for news, at once; one more is answered 503 with Retry-After."""
    max_streams_per_agent: Count | None = None
    """Of these, those of one agent at once; a quarter of `max_streams` unless said."""
    max_connections: Count = 4096
    """Open connections at once."""
    request_timeout: Seconds = 20
    """Seconds a client may take to send a whole request."""
    write_timeout: Seconds = 20
    """Seconds a client may take to accept a piece of the answer."""
    drain_timeout: Seconds = 10
    """Seconds that a graceful stop waits for calls that are under way."""
    page_size: Count = 200
    """Tools, resources or prompts on one page of a listing."""


class LimitSettings(Section):
    """Rate limits and quotas; the strictest that applies wins."""

    calls_per_second: Annotated[float, Field(gt=0)] = 20_000
    """Calls per second and agent, sustained."""
    burst: Count = 20_000
    """Calls an agent may make at once after a pause."""
    calls_per_day: Count = 1_000_000_000
    """Calls per agent and UTC day."""
    lease_seconds: Annotated[float, Field(ge=0.2, le=300)] = 6.0
    """Where processes share a store: seconds for which each grants its part without word from it, and no longer."""
    namespaces: dict[str, NamespaceLimit] = {}
    """Limits per namespace (a MAD's name) and agent, beside the general ones."""
    tools: dict[str, NamespaceLimit] = {}
    """Limits per tool (`mads.marco.fetch`) and agent, beside those."""
    tenants: dict[str, NamespaceLimit] = {}
    """Limits of all agents of a tenant together; a tenant that is not named has none of its own."""
    max_argument_bytes: Count = 1024 * 1024
    """Largest arguments of one call, bytes of JSON."""
    max_depth: Count = 64
    """Deepest nesting of arguments."""
    max_result_bytes: Count = 8 * 1024 * 1024
    """Largest result of one call, bytes of JSON."""


class NamespaceLimit(Section):
    """Limits of one agent within one namespace or of one tool, or of one tenant."""

    calls_per_second: Annotated[float, Field(gt=0)] | None = None
    """Calls per second, sustained; the general limit where none is given."""
    burst: Count | None = None
    """Calls at once after a pause."""
    calls_per_day: Count | None = None
    """Calls per UTC day."""


class MailboxSettings(Section):
    """How much work waits in front of one MAD."""

    concurrency: Count = 64
    """Tool calls of one MAD under way at once."""
    depth: Count = 1024
    """Calls waiting for one MAD; one more is refused with `retry_after`."""
    max_bytes: Count = 16 * 1024 * 1024
    """Bytes of arguments of the calls waiting for one MAD."""
    when_full: Literal["refuse", "shed"] = "refuse"
    """A full mailbox refuses who comes, or sheds the newest of the least urgent for who is more urgent."""
    running: Count = 512
    """Tool calls of all MADs of a node under way at once, those that only wait for news aside."""
    watchers: Count = 1024
    """Calls of one MAD at once that only wait for news, such as a watched conversation."""


class CacheSettings(Section):
    """Tables that every process of a colony keeps in memory, such as agents, tokens and flags."""

    follow: Seconds = 0.4
    """Seconds between looks at what other processes changed, where the store is PostgreSQL."""
    reconcile: Seconds = 300
    """Seconds between comparisons of all rows with the database, which wins."""


class BreakerSettings(Section):
    """When what keeps failing is left alone: each MAD, and each server that MADs depend on, has a circuit breaker."""

    failures: Count = 5
    """Faults in a row that open the circuit. Refusals and bad input are no faults."""
    window: Seconds = 60
    """Seconds within which they must come; a fault later than that begins the count anew."""
    open_seconds: Seconds = 10
    """Seconds until the first probe."""
    probes: Count = 1
    """Calls let through at once to see whether it works again."""


class SupervisionSettings(Section):
    """A MAD that breaks or passes a limit is made anew, and given up when that happens too often."""

    restarts: Count = 5
    """Restarts within `within` seconds after which it stays down until a person restarts it."""
    within: Seconds = 60
    """Seconds that `restarts` are counted over."""
    backoff: Seconds = 0.1
    """Seconds before the first restart, doubled for each further one and spread by chance."""
    longest_backoff: Seconds = 10
    """Most seconds before a restart."""
    recycle_after: Seconds | None = None
    """Seconds after which a MAD is made anew on purpose; never where null."""
    longest_block: Annotated[float, Field(ge=0.05)] | None = 10
    """Seconds that one step of a MAD may keep the event loop from everybody before it is made anew; null for ever."""
    max_memory_mb: Count | None = None
    """Resident memory of the process, MiB; beyond it, the MAD that reports the most (or the only one) is made anew."""
    max_mad_memory_mb: Count | None = None
    """MiB that one MAD may say it holds (`Mad.memory_bytes`) before it is made anew."""


class BusSecuritySettings(Section):
    """How a bus that faces a network is encrypted and who we are there."""

    ca: Path | None = None
    """Certificates (PEM) that the broker's is checked against; the system's where none is given."""
    certificate: Path | None = None
    """Our own certificate (PEM), for mutual TLS."""
    key: Path | None = None
    """Its private key (PEM)."""
    user: str = ""
    """User name at the broker (an ACL user of Redis)."""
    password: SecretStr = SecretStr("")
    """Its password, or a token where no user is given; best set by `CENOBY_BUS_SECURITY__PASSWORD`."""
    credentials: Path | None = None
    """A NATS credentials file: user JWT and NKey seed."""
    nkey: Path | None = None
    """A file with an NKey seed, for NATS without JWT."""
    insecure: bool = False
    """Allow a bus that is not on this machine's loopback without authentication or without TLS."""


PersonalData = Literal["email", "card", "iban", "ssn", "national_id", "phone", "ip", "address"]


class RedactionSettings(Section):
    """What is blacked out in results and logs."""

    secrets: bool = True
    """Keys, tokens, passwords in URLs, private keys."""
    personal_data: list[PersonalData] = ["email", "card", "iban", "ssn", "national_id", "phone"]
    """Kinds of personal data."""


class SandboxSettings(Section):
    """The process in which pages and documents are opened."""

    memory_mb: Count = 512
    """Address space of one cell, MiB."""
    cpu_seconds: Count = 20
    """Processor seconds of one call."""
    timeout: Seconds = 30
    """Seconds of one call; the cell is killed whole when they end."""
    cells: Count = 4
    """Cells at work at once."""
    require: list[Literal["landlock", "seccomp", "uid"]] = []
    """Protections without which the colony refuses to start."""


class ModelSettings(Section):
    """One language model behind an OpenAI-compatible URL."""

    name: str
    """What callers ask for."""
    url: str
    """Base URL, e.g. `https://host/v1`."""
    model: str | None = None
    """The provider's name for it, where it differs."""
    provider: str = ""
    """Who runs it, for `content.rules`."""
    region: str = ""
    """Where it runs, for `content.rules`, e.g. `eu-west`."""
    local: bool | None = None
    """Whether it runs on this machine or its network; if it is not said, whether `url` holds such an address."""
    key: str | None = None
    """Name of the secret that holds the API key (kept by Turing, never returned)."""
    input_usd_per_million: Annotated[float, Field(ge=0)]
    """Price of a million input tokens."""
    output_usd_per_million: Annotated[float, Field(ge=0)]
    """Price of a million output tokens."""
    max_output_tokens: Count = 4096
    """Most tokens one answer may have."""
    context_tokens: Count = 128_000
    """Most tokens of prompt and answer together."""
    timeout: Seconds = 120
    """Seconds for one whole answer."""


class TelemetrySettings(Section):
    """What leaves the process about itself; nothing by default."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line that is written."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object a line, or text for people."""
    spans: Count = 4_000
    """Finished calls whose spans are kept in memory."""
    otlp_endpoint: str | None = None
    """OTLP/HTTP traces URL, e.g. `http://127.0.0.1:4318/v1/traces`; needs the `otlp` extra."""
    otlp_sample: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of calls exported."""


def default_data_dir() -> Path:
    """The user's data directory for Cenoby (XDG base directory specification)."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "cenoby"


class Settings(Section):
    """Everything a colony can be told."""

    data: Path = Field(default_factory=default_data_dir)
    """Directory of all state; one colony owns it at a time."""
    listen: HostPort = "127.0.0.1:8600"
    """Address and port of the gateway."""
    colony: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "main"
    """Name of this colony; the first part of every bus subject."""
    node: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")] | None = None
    """Name of this process's node, for good; `<colony>-1` where none is given. Each process of a colony has its own."""
    store: Annotated[str, Field(repr=False)] = "sqlite:///"
    """URL of the database: `sqlite:///` (DATA/colony.db) or `postgresql://user@host/db` (password by PGPASSWORD)."""
    bus: str = "memory://"
    """URL of the message bus: `memory://`, `nats://host:4222` or `redis://host:6379/0` (`tls://`, `rediss://`)."""
    bus_security: BusSecuritySettings = BusSecuritySettings()
    cache: CacheSettings = CacheSettings()
    breaker: BreakerSettings = BreakerSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    mads: list[str] = ["rogers", "fiedler", "turing", "grace", "marco"]
    """MADs: shipped names, entry points of `cenoby.mads`, `module:Class`, or `file.py:Class` beside the settings."""
    roles: dict[str, list[str]] = {}
    """Further roles, or other capabilities for shipped ones: action types, categories (`web:*`) or `*`."""
    agents: dict[Name, AgentSettings] = {}
    """Agents that are registered at start, by their names; their tokens are made by `cenoby token create`."""
    tokens: TokenSettings = TokenSettings()
    oauth: OAuthSettings = OAuthSettings()
    models: list[ModelSettings] = []
    """Language models that Fiedler may ask; the first is the default."""
    publish: list[PublishSettings] = []
    """APIs that other colonies may build on, each in one or more major versions."""
    colonies: dict[Word, ColonySettings] = {}
    """Other colonies by the name that their tools get here."""
    gateway: GatewaySettings = GatewaySettings()
    limits: LimitSettings = LimitSettings()
    mailbox: MailboxSettings = MailboxSettings()
    budgets: BudgetSettings = BudgetSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    policy: PolicySettings = PolicySettings()
    flows: FlowSettings = FlowSettings()
    autonomy: AutonomySettings = AutonomySettings()
    egress: EgressSettings = EgressSettings()
    files: FileSettings = FileSettings()
    redaction: RedactionSettings = RedactionSettings()
    rules: RuleSettings = RuleSettings()
    dlp: DlpSettings = DlpSettings()
    content: ContentSettings = ContentSettings()
    vault: VaultSettings = VaultSettings()
    secrets: SecretSettings = SecretSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    sandbox: SandboxSettings = SandboxSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def node_name(self) -> str:
        """Name of this process's node."""
        return self.node or f"{self.colony}-1"

    @field_serializer("store")
    def _without_password(self, value: str) -> str:
        return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", value)

    @field_validator("data")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser()


LimitSettings.model_rebuild()

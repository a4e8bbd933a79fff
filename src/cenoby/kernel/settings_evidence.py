"""The settings of tamper evidence: how often the log is signed, and where its checkpoints leave the machine to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cenoby.kernel.settings_section import Count, Seconds, Section

# No transport of git that runs a command, no option in a place's stead.
_REMOTE = r"^(https://|ssh://|file://|/)[^\s\x00-\x1f]+$"


class PublishedToSettings(Section):
    """One place outside this machine that checkpoints go to: exactly one of `file`, `git`, `url` and `witness`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    """What it is called in `status` and in alarms."""
    file: Path | None = None
    """A file on another machine's disk that is mounted here; it is replaced whole."""
    git: Annotated[str | None, Field(pattern=_REMOTE, repr=False)] = None
    """A git remote (`https://`, `ssh://`, `file://` or a path) that the `git` command here may push to."""
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "main"
    """Branch of `git`."""
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """A URL at another host: the checkpoint is sent there with PUT, and read back with GET."""
    secret: str | None = None
    """Of `url`: name of the secret that holds the bearer token (kept by Turing, best with colony_only)."""
    witness: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Submission prefix of a witness (C2SP tlog-witness)."""
    key: str | None = None
    """Of `witness`: its key, NAME+ID+BASE64, as `cenoby witness` prints it."""

    @model_validator(mode="after")
    def _one_place(self) -> PublishedToSettings:
        if sum(place is not None for place in (self.file, self.git, self.url, self.witness)) != 1:
            raise ValueError(f"{self.name}: give exactly one of file, git, url and witness")
        if (self.witness is None) != (self.key is None):
            raise ValueError(f"{self.name}: a witness needs its key, and only a witness has one")
        return self


class EvidenceSettings(Section):
    """The Merkle log over the journal, and its signed checkpoints."""

    sequence_every: Seconds = 1
    """Seconds between looks for records that are not in the log yet."""
    checkpoint_every: Seconds = 60
    """Seconds after which what is new is signed."""
    checkpoint_records: Count = 10_000
    """New records after which they are signed earlier."""
    key: Literal["file", "env"] = "file"
    """`file`: DATA/log.key, mode 0600, made at first start; `env`: CENOBY_LOG_KEY."""
    file: Path | None = None
    """The file, where it is not DATA/log.key: gateways of one colony share it."""
    publish: list[PublishedToSettings] = []
    """Where checkpoints leave the machine to; without any, only those that people take away prove anything."""
    timeout: Seconds = 30
    """Seconds for one attempt to publish."""
    alarm_after: Seconds = 3600
    """Seconds without success at a place after which an alarm is journalled."""

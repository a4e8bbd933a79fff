"""What the vault refuses with: one function for each answer, so that all of them say what to do next."""

from __future__ import annotations

from cenoby.protection import events
from cenoby.protection.secrets import VersionInfo
from cenoby.protection.vault.rule import SecretNotFound, SecretRefused


def refused_event(info: VersionInfo, refusal: SecretRefused, tenant: str, mad: str) -> events.SecretRefused:
    """What the journal keeps of a refusal."""
    return events.SecretRefused(name=info.name, version=info.version, reason=refusal.code, tenant=tenant, mad=mad)


def policy_fixed(name: str) -> SecretRefused:
    """Another policy for a secret that is there."""
    return SecretRefused(
        "secret_policy_fixed",
        f"Secret {name!r} is there already; a person gives it another policy, with `cenoby secret policy {name}`.",
    )


def unknown(name: str) -> SecretNotFound:
    """No secret has that name."""
    return SecretNotFound("secret_unknown", f"There is no secret {name[:128]!r}; list_secrets shows the names.")


def version_unknown(name: str, version: int) -> SecretNotFound:
    """The secret has no version of that number."""
    return SecretNotFound(
        "secret_version_unknown", f"Secret {name!r} has no version {version}; list_versions shows them."
    )


def revoked(info: VersionInfo) -> SecretNotFound:
    """The version was revoked."""
    return SecretNotFound(
        "secret_revoked",
        f"Version {info.version} of secret {info.name!r} was revoked and its value destroyed; set a new one, or name "
        "another version.",
    )


def header_value(name: str, value: str) -> str:
    """A secret as it goes in a header, without blanks around it.

    Raises:
        SecretRefused: `secret_invalid`: it would not be one header, and who writes the request would show it.
    """
    stripped = value.strip()
    if not (stripped.isascii() and stripped.isprintable()):
        raise SecretRefused(
            "secret_invalid", f"Secret {name!r} cannot go in a header: it holds other than printable ASCII characters."
        )
    return stripped

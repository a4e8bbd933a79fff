"""Who may read and who may change a secret, beyond having the capability for it at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from cenoby.kernel.errors import NotFound, Refused
from cenoby.protection.secrets import (
    MOST_READERS,
    NAME_FORM,
    READER_FORM,
    Caller,
    SecretInfo,
    VersionInfo,
    value_problem,
)


class SecretRefused(Refused):
    """The caller may use secrets, but not this one so."""

    codes = {
        "secret_not_reader": "The secret names its readers, and the caller is none of them.",
        "secret_colony_only": "The colony uses this secret itself; it is told to nobody.",
        "secret_not_owner": "Only the owner of a restricted secret, its readers and operators may change it.",
        "secret_policy": "The secret has a policy, and no permit of it lets this use through; `cenoby secret explain` "
        "shows which part does not fit.",
        "secret_used_up": "A permit of its policy lets it through only so often; `retry_after` says when again.",
        "secret_policy_fixed": "A secret that exists gets another policy by a person, with `cenoby secret policy`.",
        "secret_person": "Only a person may do this; sign in as one, or use a token of the kind `person`.",
        "secret_lease_over": "The lease is over, or cannot last longer; ask for the secret again.",
        "secret_invalid": "A name, a reader or a value is not of the form that secrets have; the message says which.",
    }


class SecretNotFound(NotFound):
    """There is nothing to be read under that name and number."""

    codes = {
        "secret_unknown": "There is no secret of that name; list_secrets shows the names.",
        "secret_version_unknown": "The secret has no version of that number; list_versions shows them.",
        "secret_lease_unknown": "There is no such lease for this caller; list_leases shows them.",
        "secret_revoked": "That version was revoked and its value destroyed; set a new one or name another version.",
    }


def check_new(name: str, value: str, readers: Sequence[str]) -> None:
    """Pass if a secret may look like this.

    Raises:
        SecretRefused: `secret_invalid`.
    """
    if not re.fullmatch(NAME_FORM, name):
        raise _invalid("a name has 1 to 128 characters out of letters, digits and _ . - /")
    if problem := value_problem(value):
        raise _invalid(problem)
    if len(readers) > MOST_READERS:
        raise _invalid(f"at most {MOST_READERS} readers; use a role")
    for reader in readers:
        if not re.fullmatch(READER_FORM, reader):
            raise _invalid(f"reader {reader[:80]!r} is neither role:<name> nor agent:<name>")


def check_read(caller: Caller, info: VersionInfo) -> None:
    """Pass if the caller may be told this version.

    Raises:
        SecretRefused: `secret_colony_only`, `secret_not_reader`.
    """
    if info.colony_only:
        raise SecretRefused(
            "secret_colony_only", f"Secret {info.name!r} is for the colony's own use and is told to nobody."
        )
    if info.readers and not _is_reader(caller, info):
        raise SecretRefused(
            "secret_not_reader",
            f"Secret {info.name!r} is for {', '.join(info.readers)}, and {caller.agent!r} is none of them; "
            "its owner can set it again with other readers.",
        )


def check_mad(mad: str, info: VersionInfo) -> None:
    """Pass if the hosted MAD is named as a reader; that also opens a secret for the colony's own use.

    Raises:
        SecretRefused: `secret_not_reader`.
    """
    if f"agent:{mad}" not in info.readers:
        raise SecretRefused(
            "secret_not_reader",
            f"Secret {info.name!r} does not name agent:{mad} as a reader; set it again with that reader.",
        )


def check_change(caller: Caller, secret: SecretInfo, stewards: Collection[str], *, governed: bool = False) -> None:
    """Pass if the caller may add versions to the secret and revoke them.

    A secret that anybody may read, anybody may change; both need the capability, of course. `governed` says that the
    secret has a policy, so that not anybody may read it.

    Raises:
        SecretRefused: `secret_not_owner`.
    """
    info = secret.newest
    if not info.readers and not info.colony_only and not governed:
        return
    if caller.agent == secret.owner or not set(stewards).isdisjoint(caller.roles):
        return
    if not info.colony_only and _is_reader(caller, info):
        return
    raise SecretRefused(
        "secret_not_owner",
        f"Secret {info.name!r} is restricted: its owner {secret.owner!r}, its readers and operators may change it.",
    )


def check_person(kind: str, what: str) -> None:
    """Pass if it is a person who asks.

    Raises:
        SecretRefused: `secret_person`.
    """
    if kind != "person":
        raise SecretRefused("secret_person", f"{what} is for a person to decide; this caller is of the kind {kind!r}.")


def _is_reader(caller: Caller, info: VersionInfo) -> bool:
    return f"agent:{caller.agent}" in info.readers or any(f"role:{role}" in info.readers for role in caller.roles)


def _invalid(reason: str) -> SecretRefused:
    return SecretRefused("secret_invalid", f"The secret cannot be kept: {reason}.")

"""Requests to an OpenBao or HashiCorp Vault server: signed in, renewed in time, and its answers in our words.

The HTTP API is that of OpenBao 2.x and Vault 1.x (openbao.org/api-docs): `X-Vault-Token`, JSON with `data`, `auth` and
`errors`. The token comes from a file, or from AppRole with a secret id in a file; it is renewed at two thirds of its
time, and where that is refused AppRole signs in anew.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import CodecError, from_json, to_json
from cenoby.kernel.errors import Fault, Unavailable
from cenoby.kernel.settings_vault import OpenBaoSettings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_answer import Fetched
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.vault.key_file import read_unexposed
from cenoby.protection.vault.keys import VaultError

_SENDER = Sender(part="secrets")
_MOST_BYTES = 4 * 1024 * 1024
_RETRY_SECONDS = 5.0
_MOST_CREDENTIAL = 16 * 1024


class OpenBaoUnavailable(Unavailable):
    """The server cannot say just now."""

    codes = {
        "openbao_unavailable": "The OpenBao server is sealed, in standby, overloaded or failing; try again later.",
        "openbao_changed": "Somebody else stored a version of that secret at the same time; try again.",
    }


class OpenBaoFailed(Fault):
    """The server does not let us, or does not answer as its API says."""

    codes = {
        "openbao_denied": "The OpenBao server refuses our token or its policy; the message names the path.",
        "openbao_answer": "The OpenBao server's answer is not what its API says; check vault.openbao.",
    }


class OpenBaoClient:
    """A client of one server, by the way out that `egress` is set to before the first request.

    Args:
        settings: where, and as whom.
        clock: says when a token is renewed.
    """

    def __init__(self, settings: OpenBaoSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._token = ""
        self._renewable = False
        self._renew_ns = self._ends_ns = 0
        self._signing_in = asyncio.Lock()
        self.egress: EgressGuard | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """The answer to one request as JSON types; None where nothing is there, empty where there is nothing to say.

        Args:
            path: below `/v1/`.

        Raises:
            OpenBaoUnavailable: with `retry_after`.
            OpenBaoFailed: it is not allowed, or not understood.
            EgressRefused, EgressFailed: the server may not or cannot be reached.
            VaultError: the file with the credential cannot be used.
        """
        token = await self._signed_in()
        answer = await self._send(method, path, body, token)
        if answer.status == 403 and self._settings.role_id:
            # A token can be revoked before its time; once, with a new one.
            await self._forget(token)
            answer = await self._send(method, path, body, await self._signed_in())
        if answer.status == 404:
            return None
        return _read(answer, path)

    async def _signed_in(self) -> str:
        async with self._signing_in:
            now_ns = self._clock.monotonic_ns()
            if self._token and (not self._renew_ns or now_ns < self._renew_ns):
                return self._token
            if self._token and self._renewable and now_ns < self._ends_ns:
                answer = await self._send("POST", "auth/token/renew-self", {}, self._token)
                if answer.status == 200:
                    self._take(_read(answer, "auth/token/renew-self").get("auth"), now_ns)
                    return self._token
            await self._sign_in(now_ns)
            return self._token

    async def _sign_in(self, now_ns: int) -> None:
        settings, self._token = self._settings, ""
        credential = await asyncio.to_thread(_credential, settings)
        if settings.role_id:
            path, body = f"auth/{settings.approle}/login", {"role_id": settings.role_id, "secret_id": credential}
            answer = _read(await self._send("POST", path, body, ""), path)
            self._take(answer.get("auth"), now_ns)
            return
        found = _read(await self._send("GET", "auth/token/lookup-self", None, credential), "auth/token/lookup-self")
        told = mapping(found.get("data"))
        auth = {"client_token": credential, "lease_duration": told.get("ttl"), "renewable": told.get("renewable")}
        self._take(auth, now_ns)

    def _take(self, auth: Any, now_ns: int) -> None:
        try:
            token, seconds, renewable = auth["client_token"], int(auth["lease_duration"]), bool(auth["renewable"])
        except (KeyError, TypeError, ValueError):
            raise OpenBaoFailed("openbao_answer", "The OpenBao server signs in without a token.") from None
        self._token, self._renewable = token, renewable
        # A token without an end, such as a root token, has a duration of 0.
        self._renew_ns = now_ns + seconds * 1_000_000_000 * 2 // 3 if seconds else 0
        self._ends_ns = now_ns + seconds * 1_000_000_000

    async def _forget(self, token: str) -> None:
        async with self._signing_in:
            if self._token == token:
                self._token = ""

    async def _send(self, method: str, path: str, body: Any, token: str) -> Fetched:
        assert self.egress is not None, "the way out is there before secrets are asked for"
        headers = {"x-vault-request": "true"} | ({"x-vault-token": token} if token else {})
        data = None if body is None else to_json(body)
        url = f"{self._settings.url.rstrip('/')}/v1/{path}"
        seconds = self._settings.timeout
        return await self.egress.fetch(method, url, headers, data, timeout=seconds, max_bytes=_MOST_BYTES, by=_SENDER)


def _credential(settings: OpenBaoSettings) -> str:
    text = read_unexposed(settings.credential, _MOST_CREDENTIAL)
    if not text or not text.strip():
        raise VaultError(
            "vault_key_missing",
            f"{settings.credential} holds no {'secret id' if settings.role_id else 'token'} for the OpenBao server.",
        )
    return text.strip()


def _read(answer: Fetched, path: str) -> dict[str, Any]:
    if answer.status in (429, 472, 473) or answer.status >= 500:
        raise OpenBaoUnavailable(
            "openbao_unavailable",
            f"The OpenBao server answers {answer.status}: it is sealed, in standby, overloaded or failing.",
            retry_after=_RETRY_SECONDS,
        )
    if answer.status in (401, 403):
        raise OpenBaoFailed(
            "openbao_denied", f"The OpenBao server refuses {path}; check the token and the policy that it has."
        )
    if answer.status == 204:
        return {}
    try:
        found = from_json(answer.body)
    except CodecError:
        found = None
    if answer.status == 400 and "check-and-set" in str(found):
        raise OpenBaoUnavailable(
            "openbao_changed", "Somebody else stored a version of this secret just now.", retry_after=0.1
        )
    if answer.status != 200 or not isinstance(found, dict):
        # What it says may repeat what it was given.
        raise OpenBaoFailed("openbao_answer", f"The OpenBao server answers {answer.status} to {path}.")
    return mapping(found)


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object as it is; empty where it is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

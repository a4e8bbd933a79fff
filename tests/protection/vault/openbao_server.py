"""A server that answers as the published API of OpenBao and Vault says: no OpenBao could be installed here.


It is a process of its own that speaks real HTTP. What it answers is taken from the API documentation
(openbao.org/api-docs), by section: "Tokens: Lookup a token (Self), Renew a token (Self)", "AppRole: Login",
and of "KV Secrets Engine - Version 2": "Read Secret Version", "Create/Update Secret", "Delete" and "Destroy
Secret Versions", "List Secrets", "Read Secret Metadata", "Create/Update Metadata". Errors are `{"errors": [...]}` with
the documented statuses. It was not compared with a real server.

Run it: it prints its port. `POST /v1/sys/test` with `{"status": 503, "times": 1}` makes the next
requests fail; `{"revoke": true}` makes every token of before unknown.
"""

from __future__ import annotations

import json
import secrets
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ROLE, SECRET_ID, ROOT = "role-of-cenoby", "secret-id-of-cenoby", "root-token-of-cenoby"
TTL = 1200


class State:
    def __init__(self) -> None:
        self.tokens = {ROOT}
        self.secrets: dict[str, dict[str, Any]] = {}
        self.failing = (0, 0)
        self.seen: list[str] = []


STATE = State()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.serve(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.serve(json.loads(body or b"{}"))

    def serve(self, body: Any) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path).removeprefix("/v1/")
        if path == "sys/test":
            if body.get("revoke"):
                STATE.tokens.clear()
            STATE.failing = (body.get("times", 0), body.get("status", 0))
            self.answer(200, {"data": {"seen": STATE.seen}})
            return
        STATE.seen.append(f"{self.command} {path}")
        times, status = STATE.failing
        if times:
            STATE.failing = (times - 1, status)
            self.answer(status, {"errors": ["Vault is sealed"]})
        elif path == "auth/approle/login":
            self.login(body)
        elif (token := self.headers.get("x-vault-token")) not in STATE.tokens:
            self.answer(403, {"errors": ["permission denied"]})
        elif path == "auth/token/lookup-self":
            ttl = 0 if token == ROOT else TTL
            self.answer(200, {"data": {"id": token, "ttl": ttl, "renewable": token != ROOT}})
        elif path == "auth/token/renew-self":
            self.answer(200, {"auth": {"client_token": token, "lease_duration": TTL, "renewable": True}})
        else:
            engine, kind, name = path.split("/", 2)
            if engine != "secret":
                self.answer(404, {"errors": [f"no handler for route {path!r}"]})
            else:
                self.kv(self.command, kind, name, body, parse_qs(url.query))

    def login(self, body: Any) -> None:
        if (body.get("role_id"), body.get("secret_id")) != (ROLE, SECRET_ID):
            self.answer(400, {"errors": ["invalid role or secret ID"]})
            return
        token = f"hvs.{secrets.token_hex(12)}"
        STATE.tokens.add(token)
        self.answer(200, {"auth": {"client_token": token, "lease_duration": TTL, "renewable": True}})

    def kv(self, method: str, kind: str, name: str, body: Any, query: dict[str, list[str]]) -> None:
        found = STATE.secrets.get(name)
        if kind == "metadata" and "list" in query:
            self.list(name)
        elif kind == "metadata" and method == "POST":
            found = STATE.secrets.setdefault(name, {"versions": {}, "data": {}, "custom": None})
            found["custom"] = body.get("custom_metadata", found["custom"])
            self.answer(204, None)
        elif kind == "data" and method == "POST":
            self.write(name, body)
        elif found is None:
            self.answer(404, {"errors": []})
        elif kind == "metadata":
            self.answer(200, {"data": self.metadata(found)})
        elif kind == "data":
            self.read(found, int(query.get("version", ["0"])[0]))
        elif kind in ("delete", "destroy"):
            for number in body["versions"]:
                if (state := found["versions"].get(str(number))) is not None:
                    if kind == "delete":
                        state["deletion_time"] = now()
                    else:
                        state["destroyed"] = True
                        found["data"].pop(str(number), None)
            self.answer(204, None)

    def list(self, folder: str) -> None:
        keys = {
            rest.split("/")[0] + ("/" if "/" in rest else "")
            for path in STATE.secrets
            if path.startswith(folder) and (rest := path.removeprefix(folder))
        }
        self.answer(200 if keys else 404, {"data": {"keys": sorted(keys)}} if keys else {"errors": []})

    def write(self, name: str, body: Any) -> None:
        found = STATE.secrets.setdefault(name, {"versions": {}, "data": {}, "custom": None})
        present = len(found["versions"])
        if body.get("options", {}).get("cas", present) != present:
            reason = "check-and-set parameter did not match the current version"
            self.answer(400, {"errors": [reason]})
            return
        state = {"created_time": now(), "deletion_time": "", "destroyed": False}
        found["versions"][str(present + 1)] = state
        found["data"][str(present + 1)] = body["data"]
        self.answer(200, {"data": state | {"custom_metadata": found["custom"], "version": present + 1}})

    def read(self, found: dict[str, Any], version: int) -> None:
        number = str(version or len(found["versions"]))
        state = found["versions"].get(number)
        if state is None:
            self.answer(404, {"errors": []})
            return
        gone = state["destroyed"] or state["deletion_time"]
        told = state | {"custom_metadata": found["custom"], "version": int(number)}
        data = {"data": None if gone else found["data"][number], "metadata": told}
        self.answer(404 if gone else 200, {"data": data})

    def metadata(self, found: dict[str, Any]) -> dict[str, Any]:
        return {
            "cas_required": False,
            "current_version": len(found["versions"]),
            "custom_metadata": found["custom"],
            "max_versions": 0,
            "versions": found["versions"],
        }

    def answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if data:
            self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    sys.exit(0)

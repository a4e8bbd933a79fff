"""Paths, URLs, credentials and personal data in arguments: attacks, and what only looks like them."""

from __future__ import annotations

import base64

import pytest

from cenoby.kernel.settings import EgressSettings
from cenoby.kernel.settings_rules import RuleSetSettings, RuleSettings
from cenoby.protection.rules.engine import RuleEngine
from tests.protection.rules.calls import found, verdict

ESCAPES = (
    "../secret",
    "a/../../b",
    "a\\..\\..\\b",
    "..",
    "..;/admin",
    "....//../x",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "%252e%252e%252fx",
    "%25252e%25252e/x",
    "a/%2e%2e/b",
    "..%c0%afx",
    "%c0%ae%c0%ae/x",
    "%e0%80%ae%e0%80%ae/x",
    "%u002e%u002e/x",
    "\\x2e\\x2e/x",
    "．．/x",
    "\u2024\u2024/x",
    "..\u2215x",
    "..\u2044..\u2044x",
    ".\u200b./x",
    "file:///srv/../../x",
    "file:../x",
    "x%00.png",
    "&#46;&#46;/&#x2e;&#x2e;/x",
)
OUTSIDE = (
    "/etc/passwd",
    "/etc",
    "//etc/passwd",
    "/./etc/passwd",
    "/usr/../etc/passwd",
    "/proc/self/status",
    "/sys/kernel",
    "/dev/sda",
    "/private/etc/hosts",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "C:\\Windows\\System32",
    "\\\\server\\share",
    "~root/x",
    "%2fetc%2fpasswd",
)
INNOCENT_PATHS = (
    "src/main.py",
    "docs/../README.md",
    "./a/./b",
    "..notes",
    "a..b/c",
    "v1.2..v1.3",
    "release...final",
    ".../x",
    "/home/ada/project/main.py",
    "/srv/app/etc/app.conf",
    "/usr/share/doc",
    "/dev/null",
    "C:\\Users\\ada\\notes.txt",
    "100% sure.txt",
    "naïve/résumé.md",
    "日本語/メモ.txt",
)
SECRET_PLACES = (
    "~/.ssh/id_rsa",
    "/home/ada/.ssh/authorized_keys",
    "/etc/shadow",
    "app/.env",
    ".env.production",
    "~/.aws/credentials",
    "~/.kube/config",
    "/home/ada/.netrc",
    "~/.docker/config.json",
    "~/.config/gcloud/credentials.db",
    "/proc/self/environ",
    "keys/id_ed25519",
)
NO_SECRET_PLACES = (
    "keys/id_rsa.pub",
    ".env.example",
    ".envrc.md",
    "docs/.environment/readme",
    "ssh/config.md",
    "src/environment.ts",
    "shadow.css",
    "process.env.NODE_ENV",
)
INSIDE = (
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fe80::1%25eth0]/",
    "http://10.0.0.8:8080/x",
    "http://172.16.3.4/",
    "http://192.168.1.1/admin",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://localhost:3000/",
    "http://LOCALHOST./",
    "http://api.localhost/",
    "http://127.0.0.1.nip.io/",
    "http://user@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http:\\\\127.0.0.1/",
    "http:/127.0.0.1/",
    "http://127.0.0.1%2f@example.com/",
    "http://%31%32%37.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://１２７.0.0.1/",
    "http://127。0。0。1/",
    "ht\ntp://127.0.0.1/",
    "//127.0.0.1/x",
    "127.0.0.1:22",
)
SCHEMES = (
    "file:///etc/hosts",
    "gopher://x.example/",
    "dict://x.example:11211/",
    "jar:http://x.example!/a",
    "php://input",
)
OUTSIDE_URLS = (
    "https://example.com/",
    "http://93.184.216.34/",
    "https://example.com/redirect?to=http://localhost/",
    "https://example.com/127.0.0.1",
    "https://localhost.example.com/",
    "https://internal.example.com/",
    "https://user@git.example.com/repo.git",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/",
    "https://münchen.example/",
    "mailto:ada@example.org",
    "https://example.com/%2e%2e/x",
)
KEY = "ghp_" + "a1B2c3D4e5F6" * 3


@pytest.mark.parametrize("path", ESCAPES)
def test_paths_that_climb_out(path: str) -> None:
    """In a path argument each spelling is denied; the same text as a whole under a name that says nothing is, too."""
    assert "deny" in found({"path": path}).values()
    assert any(rule.startswith("paths.") for rule in found({"path": path}))


@pytest.mark.parametrize("path", OUTSIDE)
def test_places_of_the_system(path: str) -> None:
    """They are denied without any settings."""
    assert found({"file_path": path}).get("paths.outside") == "deny"


@pytest.mark.parametrize("path", INNOCENT_PATHS)
def test_paths_that_stay(path: str) -> None:
    """Dots in names, climbing that stays inside, other absolute paths, other alphabets pass."""
    assert found({"path": path}) == {}


def test_allowed_directories_are_all_there_is() -> None:
    """With `roots`, an absolute path lies in one of them or is refused, also one of the system."""
    engine = RuleEngine(RuleSettings(roots=["/srv/app", "/etc/app"]), EgressSettings())
    for path, outside in (
        ("/srv/app/x", False),
        ("/srv/app", False),
        ("/etc/app/conf", False),
        ("src/x", False),
        ("/srv/application/x", True),
        ("/srv/app/../x", True),
        ("/home/ada/x", True),
    ):
        assert ("paths.outside" in found({"path": path}, engine=engine)) == outside, path


def test_prose_may_hold_paths_and_addresses() -> None:
    """Prose with such words passes; a text that is wholly a path or a URL does not."""
    text = "See ../README.md, /etc/hosts and http://localhost:3000/ for %2e%2e/ tricks."
    assert found({"content": text}) == {}
    assert found({"content": "../x"}) == {}
    assert found({"target": text}) == {}
    assert found({"target": "../../x"}) == {"paths.escape": "deny"}
    assert found({"target": "http://127.0.0.1/"}) == {"egress.inside": "deny"}
    assert found({"options": {"files": ["a", "../b"]}}) == {"paths.escape": "deny"}


@pytest.mark.parametrize("path", SECRET_PLACES)
def test_places_where_secrets_lie(path: str) -> None:
    """They are denied as a path and in a command."""
    assert found({"path": path}).get("leaks.secret_place") == "deny"
    assert found({"command": f"cat {path}"}).get("leaks.secret_place") == "deny"


@pytest.mark.parametrize("path", NO_SECRET_PLACES)
def test_places_that_only_sound_secret(path: str) -> None:
    """Public keys, examples and other names pass."""
    assert found({"path": path}) == {}
    assert found({"command": f"cat {path}"}) == {}


@pytest.mark.parametrize("url", INSIDE)
def test_urls_that_lead_inside(url: str) -> None:
    """Every spelling of an inside address is denied in a URL argument."""
    assert found({"url": url}).get("egress.inside") == "deny"


@pytest.mark.parametrize("url", SCHEMES)
def test_schemes_that_read_files(url: str) -> None:
    """They are denied in a URL argument."""
    assert found({"url": url}).get("egress.scheme") == "deny"


@pytest.mark.parametrize("url", OUTSIDE_URLS)
def test_urls_that_lead_outside(url: str) -> None:
    """Words in paths and queries are no hosts."""
    assert found({"url": url}) == {}


def test_exceptions_of_the_way_out_hold_for_arguments() -> None:
    """What `egress.allow` names passes, on its port alone."""
    engine = RuleEngine(RuleSettings(), EgressSettings(allow=["127.0.0.1:8080", "localhost:3000", "[::1]:80"]))
    for url, level in (
        ("http://127.0.0.1:8080/x", {}),
        ("http://localhost:3000/", {}),
        ("http://[::1]/", {}),
        ("http://127.0.0.1:8081/", {"egress.inside": "deny"}),
    ):
        assert found({"url": url}, engine=engine) == level


def test_credentials_are_denied_wherever_they_are_not_declared() -> None:
    """In any argument, nested, under a member's name, encoded; not in one that is declared sensitive."""
    for arguments in (
        {"content": f"use {KEY} please"},
        {"deep": [{"er": KEY}]},
        {"query": {"authorization": f"Bearer {KEY}"}},
        {"x": base64.b64encode(KEY.encode()).decode()},
        {"x": KEY.encode().hex()},
        {"x": "".join(f"%{byte:02x}" for byte in KEY.encode())},
        {"x": base64.b64encode(KEY.encode().hex().encode()).decode()},
        {"url": f"https://ada:{KEY}@example.com/"},
    ):
        assert found(arguments).get("credentials.secret") == "deny", arguments
    assert found({"value": KEY}, sensitive=("value",)) == {}
    assert found({"value": "x", "note": KEY}, sensitive=("value",)) == {"credentials.secret": "deny"}
    assert found({"content": "my token is on the desk; ghp_ is how they begin"}) == {}


def test_cards_and_national_ids_do_not_leave() -> None:
    """On the way outside they are denied, encoded too; inside they are for redaction."""
    card = "4111 1111 1111 1111"
    assert found({"body": f"card {card}"}, outside=True) == {"leaks.personal": "deny"}
    assert found({"body": base64.b64encode(f"card {card}".encode()).decode()}, outside=True) == {
        "leaks.personal": "deny"
    }
    assert found({"body": f"card {card}"}) == {}
    assert found({"body": "order 4111 1111 1111 1112"}, outside=True) == {}


def test_unreadable_data_on_its_way_outside_is_a_doubt() -> None:
    """Long encoded data that says nothing to a reader may be anything; inside it is nobody's business."""
    data = base64.b64encode(bytes(range(256))).decode()
    assert found({"note": data}, outside=True) == {"leaks.opaque": "doubt"}
    assert found({"note": data}) == {}


def test_modes_of_a_set() -> None:
    """Shadow finds and decides nothing; disabled finds nothing."""
    for mode, findings, shadow in (("active", 1, 0), ("shadow", 0, 1), ("disabled", 0, 0)):
        sets = RuleSetSettings(destructive=mode)
        engine = RuleEngine(RuleSettings(sets=sets), EgressSettings())
        said = verdict({"command": "rm -rf x"}, engine=engine)
        assert (len(said.findings), len(said.shadow)) == (findings, shadow)
        assert engine.off == (
            ("destructive",) if mode == "disabled" else (),
            ("destructive",) if mode == "shadow" else (),
        )


@pytest.mark.parametrize("veil", ["&#x{:x};", "\\u{:04x}"])
def test_a_declared_url_is_read_in_its_spellings(veil: str) -> None:
    """What becomes a URL only where somebody decodes it leads nowhere inside, and anywhere outside."""
    for host, rules in (("localhost", {"egress.inside": "deny"}), ("example.org", {})):
        url = "".join(veil.format(ord(sign)) for sign in f"http://{host}/")
        assert found({"there": url}, kinds={"there": "url"}, outside=True) == rules, url

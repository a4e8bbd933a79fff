"""Paths that leave where they start, absolute ones that lie outside, and places where secrets lie."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from cenoby.protection.rules.findings import Level, Raw
from cenoby.protection.rules.linear import linear
from cenoby.protection.rules.spellings import plain, unpercented

LONGEST_PATH = 4096
"""Characters; a longer text is no path (PATH_MAX)."""

_SYSTEM = linear(
    r"^(?:/private)?/(?:etc|root|proc|sys|boot|run|var/(?:run|lib|spool/cron|log))(?:/|$)"
    r"|^/dev/(?:[^ns]|n[^u]|s[^t])"
    r"|^[a-z]:/(?:windows|program files|programdata|system volume information|boot)(?:[/ ]|$)"
    r"|^//[.?]/"
)
_DRIVE = linear(r"^[A-Za-z]:[/\\]")
_SECRET_PLACE = linear(
    r"(?:^|[/~\s=:'\"@])\.(?:ssh|gnupg|aws|azure|kube|password-store)(?:/|$|[\s'\"])"
    r"|\bid_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?(?:$|[^.\w-])"
    r"|/etc/(?:g?shadow-?|sudoers|master\.passwd|ssl/private|krb5\.keytab|security/opasswd)"
    r"|(?:^|[/\s=:'\"@])\.env(?:\.(?:local|prod|production|dev|development|staging|test))?(?:$|[\s'\"|;&>)])"
    r"|(?:^|[/\s=:'\"@])[._](?:netrc|pgpass|git-credentials|pypirc|npmrc|vault-token|bash_history|zsh_history)\b"
    r"|\.docker/config\.json|\.config/gcloud\b|application_default_credentials\.json|\.config/gh/hosts"
    r"|/proc/(?:self|\d+|\*)/(?:environ|mem|maps|fd)\b|/var/run/secrets\b|/run/secrets\b"
    r"|\bsystem32/config/(?:sam|security|system)\b|\bntds\.dit\b|/library/keychains/|\blogin\.keychain"
)
_URL_OF_FILE = "file:"


def escapes(text: str, roots: Sequence[str], depth: int) -> Iterator[Raw]:
    """Rules that a path breaks.

    Args:
        text: as it came.
        roots: directories in which absolute paths may lie; none: all but those of the system.
        depth: layers of encoding that are taken off.
    """
    raw = plain(text)
    path, layers = raw, 0
    while layers < depth and (once := plain(_decoded(path))) != path:
        path, layers = once, layers + 1
    if "\x00" in path:
        yield "paths.encoded", Level.DENY
    path = _local(path)
    climbs = _climbs(path)
    if climbs and not _climbs(_local(raw)):
        yield "paths.encoded", Level.DENY
    elif climbs > 1:
        yield "paths.escape", Level.DENY
    if _is_outside(path, roots):
        yield "paths.outside", Level.DENY


def looks_like_path(text: str) -> bool:
    """Whether a text of unknown kind, as a whole, is a path that could lead elsewhere."""
    if len(text) > LONGEST_PATH or any(map(str.isspace, text)):
        return False
    path = _local(plain(unpercented(unpercented(text))))
    return path.startswith(("../", "/", "~/", "~root")) or path == ".." or "/../" in path or path.endswith("/..")


def is_secret_place(text: str) -> bool:
    """Whether a path or a command names a place where secrets lie."""
    return _SECRET_PLACE.search(text.replace("\\", "/").lower()) is not None


def _decoded(path: str) -> str:
    once = unpercented(path)
    # A path that was taken out of a page may still hold its character references.
    return html.unescape(once) if "&" in once and ";" in once else once


def _local(path: str) -> str:
    if path[:5].lower() == _URL_OF_FILE:
        path = path[5:]
        if path.startswith("//"):
            host, slash, rest = path[2:].partition("/")
            # file://server/share is another machine's.
            path = slash + rest if host in ("", "localhost", "127.0.0.1", ".", "..") or _DRIVE.match(rest) else path
    return path.replace("\\", "/")


def _climbs(path: str) -> int:
    """0: no `..` in it; 1: it stays below where it starts; 2: it leaves that."""
    if ".." not in path:
        return 0
    level, found = 0, 0
    for part in path.split("/"):
        # Some systems drop blanks and dots at the end of a name.
        name = part.rstrip(" ") or part
        if name == ".." or (len(name) > 3 and not name.strip(". ")) or name.startswith("..;"):
            level, found = level - 1, max(found, 1)
            if level < 0:
                return 2
        elif name not in ("", "."):
            level += 1
    return found


def _is_outside(path: str, roots: Sequence[str]) -> bool:
    folded = "/".join(_parts(path.lower())) if "/" in path else path.lower()
    absolute = path.startswith("/") or _DRIVE.match(path) is not None
    if not absolute:
        return path.startswith("~root")
    folded = ("/" if path.startswith("/") else "") + folded
    if any(_lies_in(path, root) for root in roots):
        return False
    return bool(roots) or _SYSTEM.search(folded) is not None or path.startswith("//")


def _lies_in(path: str, root: str) -> bool:
    whole, inside = _parts(path), _parts(root)
    return whole[: len(inside)] == inside


def _parts(path: str) -> list[str]:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts

"""Paths that lead out of where they should stay, in the spellings that decoders undo after a check."""

from __future__ import annotations

from collections.abc import Iterator

from redteam.house import House, suite
from redteam.report import Report, Room
from redteam.target import REACHED

_DOTS = (
    "..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%c0%ae%c0%ae", "%u002e%u002e", "．．", "\\u002e\\u002e", "..%00",
    "\\x2e\\x2e", "&#46;&#46;", ".\u200b.", "․․", "%25252e%25252e",
)  # fmt: skip
_SLASHES = ("/", "\\", "%2f", "%5c", "%252f", "%c0%af", "／", "//", "/./", "\\/")
_PLACES = (
    "/etc/passwd", "/etc/shadow", "//etc/passwd", "/./etc/passwd", "/proc/self/environ", "/proc/1/environ",
    "file:///etc/passwd", "~/.ssh/id_rsa", "~root/.ssh/id_ed25519", "$HOME/.aws/credentials", "C:\\Windows\\win.ini",
    "c:/windows/system32/config/sam", "\\\\server\\share\\x", "\\\\?\\C:\\x", "/dev/mem", "/sys/kernel", "a/.env",
    "~/.netrc", "%2fetc%2fpasswd", "%252fetc%252fpasswd", "／etc／passwd",
    "/\u200betc/passwd", "/etc/./passwd", "/etc//passwd", "\\etc\\passwd", "/var/run/docker.sock", "/boot/vmlinuz",
)  # fmt: skip
_INNOCENT = (
    "notes.txt",
    "src/a/b.py",
    "a/../b.txt",
    "reports/2026 final.pdf",
    "ordner/übung.md",
    "v1..v2.diff",
    ".gitignore",
)


def attacks() -> Iterator[str]:
    """Paths, none of which may reach a tool."""
    for dots in _DOTS:
        for slash in _SLASHES:
            up = f"{dots}{slash}"
            yield f"{up * 3}etc{slash}passwd"
            yield f"docs{slash}{up * 3}secret.txt"
    yield from _PLACES
    yield from ("a/../../b", "a/b/../../../c", "..", "./..", "a\x00.txt", "../", "./../x")


async def attack(house: House, room: Room) -> Report:
    """Have a tool open each path; it must not hear of any of them."""
    report = Report()
    for path in _INNOCENT:
        heard = await house.call("ada", "mads.target.open_file", path=path)
        report.control(f"{path!r} was refused: {heard.code}", passed=heard.code == "ok" and path in REACHED)
    for path in room.draw(dict.fromkeys(attacks())):
        before = len(REACHED)
        heard = await house.call("ada", "mads.target.open_file", path=path)
        report.count(f"{path!r} {heard.code}", stopped=len(REACHED) == before)
    return report


play = suite(attack)

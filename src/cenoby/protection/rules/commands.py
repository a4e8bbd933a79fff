"""Destructive commands, read as a shell reads them: quotes and escapes gone, segment by segment, program and flags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from cenoby.protection.rules.arguments import word_set
from cenoby.protection.rules.findings import Level, Raw
from cenoby.protection.rules.linear import linear

_SEGMENTS = str.maketrans(dict.fromkeys(";|&\r(){}`<>", "\n") | dict.fromkeys(",\t\x0b\x0c", " "))
_QUOTES = str.maketrans("", "", "\\\"'^")
_BOMB = linear(r"([A-Za-z_:.]+)\(\)\{([A-Za-z_:.]+)\|([A-Za-z_:.]+)&\}")
_DEVICE = linear(r">\s*/dev/(?:sd|hd|vd|xvd|nvme|mmcblk|disk|mapper/|md\d|loop\d)|\\\\\.\\PhysicalDrive")
_PIPED_SHELL = linear(
    r"\|\s*(?:sudo\s+|env\s+|command\s+|exec\s+)*(?:/(?:usr/)?bin/)?(?:ba|z|da|k|c|fi)?sh\b(?:\s+-s?\b)*\s*(?:$|[;&|)\n])"
)
_RMTREE = linear(r"\b(?:shutil\.rmtree|FileUtils\.rm_rf|fs\.rm(?:dir)?(?:Sync)?\([^)]*recursive|rimraf)\b")
_ASSIGNED = linear(r"^[A-Za-z_][A-Za-z0-9_]*=")
_RUNS_OTHERS = word_set(
    "sudo doas env nohup nice ionice time timeout exec command builtin busybox toybox xargs eval then do else if "
    "! $ while until sh bash zsh dash ksh ash su ssh docker podman kubectl chroot nsenter unshare setsid stdbuf script "
    "watch parallel cmd cmd.exe powershell powershell.exe pwsh wsl flatpak-spawn firejail runuser gosu strace"
)
_ROOTS = frozenset(("/", "/*", "~", "~/", "~/*", "$HOME", "$HOME/", "$HOME/*", ".", "./", "*", "./*", "..", "../"))
_MAKES = ("mkfs", "mke2fs", "mkswap", "mkntfs")
_NO_DISK = ("null", "zero", "stdout", "stderr", "tty", "fd")


def destructive(text: str, *, anywhere: bool = False) -> Iterator[Raw]:
    """Rules that a command line, a script or its words joined by blanks breaks.

    Args:
        text: plain (`spellings.plain`).
        anywhere: any word may be a program; what was hidden in an encoding is no mention.
    """
    text = text.replace("\\\n", "").replace("${IFS}", " ").replace("$IFS", " ")
    squeezed = "".join(text.split())
    if "(){" in squeezed and any(m.group(1) == m.group(2) == m.group(3) for m in _BOMB.finditer(squeezed)):
        yield "destructive.fork_bomb", Level.DENY
    if ("/dev/" in text or "PhysicalDrive" in text) and _DEVICE.search(text) is not None:
        yield "destructive.device", Level.DENY
    if "|" in text and _PIPED_SHELL.search(text) is not None:
        yield "destructive.piped_shell", Level.ASK
    if "r" in text and _RMTREE.search(text) is not None:
        yield "destructive.remove_files", Level.ASK
    for segment in text.translate(_SEGMENTS).split("\n"):
        words = segment.translate(_QUOTES).split()
        if words:
            yield from _of_words(words, anywhere)


def begins_destructive(text: str) -> bool:
    """Whether a text, as a whole, is a command that a rule refuses or asks about: its first word is the program."""
    return "\n" not in text.strip() and next(destructive(text), None) is not None


def _of_words(words: Sequence[str], anywhere: bool) -> Iterator[Raw]:
    first = 0
    while first < len(words) - 1 and _ASSIGNED.match(words[first]) is not None:
        first += 1
    runs_others = anywhere or _program(words[first]) in _RUNS_OTHERS
    for index in range(first, len(words)):
        if index > first and not runs_others and words[index - 1] not in ("-exec", "-execdir", "-ok"):
            continue
        check = _CHECKS.get(_program(words[index]))
        if check is not None:
            yield from check(words[index + 1 :])
        elif _program(words[index]).startswith(_MAKES):
            yield "destructive.device", Level.DENY


def _program(word: str) -> str:
    name = word.rpartition("/")[2]
    return name.lower() if name != word or word.isupper() else name


def _flags(words: Sequence[str]) -> tuple[str, frozenset[str]]:
    """Letters of all short flags, and the long ones."""
    short = "".join(word[1:] for word in words if word.startswith("-") and not word.startswith("--"))
    return short, frozenset(word.partition("=")[0] for word in words if word.startswith("--"))


def _rm(words: Sequence[str]) -> Iterator[Raw]:
    short, long = _flags(words)
    recursive = "r" in short or "R" in short or any("--recursive".startswith(one) for one in long if len(one) > 3)
    forced = "f" in short or any("--force".startswith(one) for one in long if len(one) > 3)
    if recursive and (forced or not _ROOTS.isdisjoint(words)):
        yield "destructive.remove_tree", Level.DENY
    elif recursive:
        yield "destructive.remove_files", Level.ASK


def _remove_item(words: Sequence[str]) -> Iterator[Raw]:
    flags = " ".join(words).lower()
    if "-r" in flags.replace("-recurse", "-r"):
        yield "destructive.remove_tree", Level.DENY if "-fo" in flags else Level.ASK


def _windows_delete(words: Sequence[str]) -> Iterator[Raw]:
    flags = {word.lower() for word in words}
    if "/s" in flags:
        yield "destructive.remove_tree", Level.DENY if "/q" in flags else Level.ASK


def _find(words: Sequence[str]) -> Iterator[Raw]:
    if "-delete" in words:
        yield "destructive.remove_files", Level.ASK


def _dd(words: Sequence[str]) -> Iterator[Raw]:
    for word in words:
        target = word.removeprefix("of=")
        if target != word and target.startswith("/dev/") and not target[5:].startswith(_NO_DISK):
            yield "destructive.device", Level.DENY


def _on_device(words: Sequence[str]) -> Iterator[Raw]:
    on_device = any(word.startswith("/dev/") and not word[5:].startswith(_NO_DISK) for word in words)
    yield ("destructive.device", Level.DENY) if on_device else ("destructive.remove_files", Level.ASK)


def _format(words: Sequence[str]) -> Iterator[Raw]:
    if any(len(word) == 2 and word[0].isalpha() and word[1] == ":" for word in words[:1]):
        yield "destructive.device", Level.DENY


def _git(words: Sequence[str]) -> Iterator[Raw]:
    short, long = _flags(words)
    if "push" in words:
        refs = words[words.index("push") + 1 :]
        forced = "f" in _flags(refs)[0] or any(one.startswith("--force") for one in long) or "--mirror" in long
        if forced or any(ref.startswith("+") for ref in refs):
            yield "destructive.force_push", Level.ASK
    if "reset" in words and "--hard" in long:
        yield "destructive.discard_work", Level.ASK
    if "clean" in words and ("f" in short or "--force" in long):
        yield "destructive.discard_work", Level.ASK


def _chmod(words: Sequence[str]) -> Iterator[Raw]:
    short, long = _flags(words)
    wide = any(
        word.lstrip("0") == "777" or word in ("a+rwx", "ugo+rwx", "+rwx", "a=rwx", "o+w", "a+w") for word in words
    )
    if wide and ("R" in short or "--recursive" in long):
        yield "destructive.open_permissions", Level.ASK


def _nothing(words: Sequence[str]) -> Iterator[Raw]:
    del words
    yield "destructive.device", Level.DENY


_CHECKS: Mapping[str, Callable[[Sequence[str]], Iterator[Raw]]] = {
    "rm": _rm,
    "remove-item": _remove_item,
    "Remove-Item": _remove_item,
    "del": _windows_delete,
    "erase": _windows_delete,
    "rd": _windows_delete,
    "rmdir": _windows_delete,
    "find": _find,
    "dd": _dd,
    "shred": _on_device,
    "wipefs": _on_device,
    "blkdiscard": _nothing,
    "mkfs": _nothing,
    "format": _format,
    "format.com": _format,
    "git": _git,
    "chmod": _chmod,
}

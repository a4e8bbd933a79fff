"""What a file is, by its bytes: a table of signatures, and whatever fits, for a file may be two things at once.

Only bytes at known places are compared; nothing is parsed, so this may run in the colony's own process. Libraries that
guess types tell the first that fits, and know neither scripts nor pages; two at once is what has to be seen here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEAD = 1024
_TAIL = 65_557
"""Bytes at the end in which the directory of a zip archive has its own end (APPNOTE 4.3.16)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of file.

    Attributes:
        name: its media type.
        others: other media types that are said of it.
        endings: endings of names, without dot.
    """

    name: str
    others: frozenset[str]
    endings: frozenset[str]


def _kind(name: str, endings: str, others: str = "") -> Kind:
    return Kind(name, frozenset(others.split()), frozenset(endings.split()))


TEXT = _kind(
    "text/plain",
    "txt md rst csv tsv log json jsonl yaml yml toml ini cfg xml rss atom srt vtt "
    "py js ts css sql sh c h cpp java go rs",
    "application/json application/xml application/yaml application/x-yaml application/javascript application/x-ndjson",
)
BINARY = _kind("application/octet-stream", "bin dat")
HTML = _kind("text/html", "html htm xhtml", "application/xhtml+xml")
SVG = _kind("image/svg+xml", "svg")
PDF = _kind("application/pdf", "pdf", "application/x-pdf")
ZIP = _kind(
    "application/zip", "zip jar whl apk epub odt ods odp", "application/x-zip-compressed application/java-archive"
)
OOXML = _kind(
    "application/vnd.openxmlformats-officedocument",
    "docx xlsx pptx docm xlsm pptm dotx dotm xltx xltm potx potm",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document "
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet "
    "application/vnd.openxmlformats-officedocument.presentationml.presentation "
    "application/vnd.ms-word.document.macroenabled.12 application/vnd.ms-excel.sheet.macroenabled.12 "
    "application/vnd.ms-powerpoint.presentation.macroenabled.12",
)
GZIP = _kind("application/gzip", "gz tgz", "application/x-gzip application/x-compressed-tar")
BZIP2 = _kind("application/x-bzip2", "bz2 tbz2", "application/bzip2")
XZ = _kind("application/x-xz", "xz txz")
TAR = _kind("application/x-tar", "tar", "application/tar")
OLE = _kind(
    "application/x-ole-storage",
    "doc xls ppt msi",
    "application/msword application/vnd.ms-excel application/vnd.ms-powerpoint",
)
PROGRAM = _kind(
    "application/x-executable",
    "exe dll so dylib elf o com scr",
    "application/x-msdownload application/x-elf application/wasm application/x-mach-binary",
)
_PNG = _kind("image/png", "png")
_JPEG = _kind("image/jpeg", "jpg jpeg jpe", "image/jpg")
_GIF = _kind("image/gif", "gif")
_WEBP = _kind("image/webp", "webp")
_BMP = _kind("image/bmp", "bmp", "image/x-ms-bmp")
_TIFF = _kind("image/tiff", "tif tiff")
_WAV = _kind("audio/wav", "wav", "audio/x-wav audio/wave audio/vnd.wave")
_MP3 = _kind("audio/mpeg", "mp3", "audio/mp3")
_OGG = _kind("audio/ogg", "ogg oga opus", "video/ogg application/ogg")
_FLAC = _kind("audio/flac", "flac", "audio/x-flac")
_MP4 = _kind("video/mp4", "mp4 m4a m4v mov heic avif", "audio/mp4 audio/x-m4a video/quicktime image/heic image/avif")
_WEBM = _kind("video/webm", "webm mkv mka", "audio/webm video/x-matroska")
_SEVEN = _kind("application/x-7z-compressed", "7z")
_RAR = _kind("application/vnd.rar", "rar", "application/x-rar-compressed application/x-rar")
_ZSTD = _kind("application/zstd", "zst zstd")
_RTF = _kind("application/rtf", "rtf", "text/rtf")

_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", _PNG), (b"\xff\xd8\xff", _JPEG), (b"GIF87a", _GIF), (b"GIF89a", _GIF), (b"BM", _BMP),
    (b"II*\x00", _TIFF), (b"MM\x00*", _TIFF), (b"ID3", _MP3), (b"\xff\xfb", _MP3), (b"\xff\xf3", _MP3),
    (b"OggS", _OGG), (b"fLaC", _FLAC), (b"\x1aE\xdf\xa3", _WEBM), (b"\x1f\x8b\x08", GZIP), (b"BZh", BZIP2),
    (b"\xfd7zXZ\x00", XZ), (b"7z\xbc\xaf'\x1c", _SEVEN), (b"Rar!\x1a\x07", _RAR), (b"(\xb5/\xfd", _ZSTD),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE), (b"{\\rtf", _RTF), (b"\x7fELF", PROGRAM), (b"\x00asm", PROGRAM),
    (b"\xcf\xfa\xed\xfe", PROGRAM), (b"\xca\xfe\xba\xbe", PROGRAM),
)  # fmt: skip
_PAGE = re.compile(rb"<(!doctype\s+html|html|head|body|script|iframe|svg[\s>/:])", re.IGNORECASE)
_BINARY_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")
PICTURES = frozenset({_PNG, _JPEG, _GIF, _WEBP, _BMP, _TIFF})
ARCHIVES = frozenset({ZIP, OOXML, GZIP, BZIP2, XZ, TAR})
"""Those that can be looked into."""


def kinds_of(body: bytes) -> tuple[Kind, ...]:
    """Everything that `body` is at once, what it begins as first; text or plain bytes where it is nothing else."""
    found = [kind for beginning, kind in _BEGINNINGS if body.startswith(beginning) and _is_really(kind, body)]
    head = body[:_HEAD]
    if body.startswith(b"RIFF"):
        found += [kind for word, kind in ((b"WEBP", _WEBP), (b"WAVE", _WAV)) if body[8:12] == word]
    if body[4:8] == b"ftyp":
        found.append(_MP4)
    if body[257:262] == b"ustar":
        found.append(TAR)
    if body.startswith(b"MZ") and b"PE\x00\x00" in body[:4096]:
        found.append(PROGRAM)
    if b"%PDF-" in head:
        # Readers take a document that begins anywhere in the first kilobyte (ISO 32000, annex H).
        found.append(PDF)
    if body.startswith((b"PK\x03\x04", b"PK\x05\x06")) or _ends_as_zip(body, exactly=TAR in found):
        # The directory stands at the end: whatever the file begins as, it opens as an archive.
        found.append(OOXML if b"[Content_Types].xml" in body else ZIP)
    page = _page(head)
    if page is not None and (not found or found[0] is PDF):
        found.append(page)
    return tuple(dict.fromkeys(found)) or ((TEXT if is_text(body) else BINARY),)


def claimed(kind: Kind, media_type: str, name: str) -> bool:
    """Whether what is said of a file, its media type or the ending of its name (either may be empty), is true of it."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain and plain not in (kind.name, BINARY.name) and plain not in kind.others and not _textual(kind, plain):
        return False
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    return not ending or ending in kind.endings or ending not in KNOWN_ENDINGS


def is_text(body: bytes) -> bool:
    """Whether `body` has no bytes that text has not."""
    return not _BINARY_CONTROLS & frozenset(body[:65536]) or body.startswith((b"\xff\xfe", b"\xfe\xff"))


def _textual(kind: Kind, media_type: str) -> bool:
    # All text looks alike: whatever kind of it is said, it is none that anybody runs, or HTML would have been seen.
    return kind is TEXT and (media_type.startswith("text/") or media_type.endswith(("+json", "+xml", "+yaml")))


def _page(head: bytes) -> Kind | None:
    found = _PAGE.search(head)
    if found is None or not is_text(head):
        return None
    return SVG if found[1].lower().startswith(b"svg") else HTML


def _ends_as_zip(body: bytes, *, exactly: bool) -> bool:
    at = body.rfind(b"PK\x05\x06", max(0, len(body) - _TAIL))
    # A tar may hold an archive as its last member, and then goes on with zeros.
    return at >= 0 and (not exactly or at + 22 + int.from_bytes(body[at + 20 : at + 22], "little") == len(body))


def _is_really(kind: Kind, body: bytes) -> bool:
    # Two letters are no signature: a bitmap says its own length.
    return kind is not _BMP or (len(body) > 14 and int.from_bytes(body[2:6], "little") == len(body))


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (TEXT, BINARY, HTML, SVG, PDF, ZIP, OOXML, TAR, _WEBP, _WAV, _MP4, *(one for _, one in _BEGINNINGS))
}
"""All kinds by their media types."""
KNOWN_ENDINGS = frozenset(ending for kind in KINDS.values() for ending in kind.endings)

"""What the status page sends: rendered templates and static files, under headers that allow nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, RedirectResponse, Response

from cenoby.kernel.codec import to_json

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent

HEADERS: Mapping[str, str] = {
    # Only files of our own, no inline script or style, no frame, and forms that lead back here.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

STATIC: Mapping[str, str] = {
    "style.css": "text/css; charset=utf-8",
    "refresh.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files under `/ui/` with their media types."""


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A rendered template."""
    return HTMLResponse(_templates().get_template(template).render(values), status, HEADERS)


def redirect(path: str) -> RedirectResponse:
    """To another page of ours, with GET (RFC 9110, 303 See Other)."""
    return RedirectResponse(path, 303, HEADERS)


def static(name: str) -> Response:
    """A file of `STATIC`, which a browser may keep for an hour."""
    return Response(_read(name), 200, {**HEADERS, "Cache-Control": "private, max-age=3600"}, STATIC[name])


@cache
def _read(name: str) -> bytes:
    return (_HERE / "static" / name).read_bytes()


@cache
def _templates() -> Environment:
    # Imported at the first page: a colony that nobody looks at in a browser never pays for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["time"] = _time
    templates.filters["duration"] = _duration
    templates.filters["pretty"] = _pretty
    return templates


def _time(text: str) -> str:
    """An RFC 3339 time in UTC as a person reads it, to the second."""
    return f"{text[:10]} {text[11:19]} UTC"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    shown = [part for part in parts if part][:2]
    return " ".join(shown) or f"{rest} s"


def _pretty(value: Any) -> str:
    import msgspec

    return msgspec.json.format(to_json(value), indent=2).decode()

"""What the name of a member says of its value, in words that detectors know."""

from __future__ import annotations

import re

_SPEAKING = re.compile(
    "access|authorization|bearer|phone|mobile|fax|tel|whatsapp|ssn|pass|pwd|secret|token|api|private|cookie|bsn|pesel|tax|cpf"
    "|aadhaar|nif|insurance|sin"
)
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_NAMED_INSIDE = {
    "secretaccesskey": "secret_access_key: ",
    "authorization": "authorization: ",
    "bearer": "bearer ",
    "phone": "phone: ",
    "password": "password: ",
    "passphrase": "password: ",
    "apikey": "api_key: ",
    "privatekey": "private_key: ",
    "accesskey": "access_key: ",
    "clientsecret": "secret: ",
    "accesstoken": "token: ",
    "authtoken": "token: ",
    "refreshtoken": "token: ",
    "idtoken": "token: ",
    "sessiontoken": "token: ",
}
_NAMED_BY_A_PART = {
    "mobile": "phone: ", "fax": "phone: ", "tel": "phone: ", "whatsapp": "phone: ", "ssn": "ssn: ",
    "passwd": "password: ", "pwd": "password: ", "secret": "secret: ", "cookie": "cookie: ", "bsn": "bsn: ",
    "pesel": "pesel: ", "cpf": "cpf: ", "aadhaar": "aadhaar: ", "nif": "nif: ", "sin": "sin: ",
}  # fmt: skip


def context_of(name: str) -> str:
    """What a member's name says of its value, in words that detectors know; put before the value, they find it.

    Args:
        name: as in `SecretAccessKey`, `proxy-authorization`, `phone_number`; folded.

    Returns:
        An empty text where the name says nothing.
    """
    if not may_be_context(name):
        return ""
    parts = [part.lower() for part in _NAME_PARTS.findall(name)]
    compact = "".join(parts)
    inside = (context for word, context in _NAMED_INSIDE.items() if word in compact)
    return next(inside, "") or next((_NAMED_BY_A_PART[part] for part in parts if part in _NAMED_BY_A_PART), "")


def may_be_context(names: str) -> bool:
    """Whether any of these names may have a context; False is certain, True is not."""
    return _SPEAKING.search(names.lower()) is not None

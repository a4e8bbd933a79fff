"""Keys and tokens without a prefix whose shape tells what they are, as their providers publish it."""

from __future__ import annotations

from collections.abc import Iterator

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.detector import Detector, Found

_UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Keys that Microsoft made recognisable have a mark inside, at the same distance from their end.
_AZURE = (
    rb"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"
    rb"|(?i:(?:account|accesskey|sharedaccess)\w{0,4}key)=[A-Za-z0-9+/]{43,86}={1,2}"
    rb"|\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b"
    rb"|\b[A-Za-z0-9]{42}(?:\+ACR|AzSe)[A-Za-z0-9]{6}\b"
    rb"|\b[A-Za-z0-9]{44}AzFu[A-Za-z0-9_-]{6}[AQgw]=="
    rb"|\b[A-Za-z0-9]{33}(?:AzCa|AIoT|\+ASb|\+AEh|\+ARm)[A-Za-z0-9+/]{5,6}="
    rb"|\b[A-Za-z0-9+/]{76}(?:\+ASt|ACDb|APIM|\+ABa|\+AMC)[A-Za-z0-9+/]{5}[AQgw]=="
    rb"|\b[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{26}\b"
)
# What a password became (crypt(5), PHC string format): it can be guessed from.
_HASHES = (
    rb"\$(?:1\$[A-Za-z0-9./]{1,8}\$[A-Za-z0-9./]{22}"
    rb"|2[abxy]?\$[0-9]{2}\$[A-Za-z0-9./]{53}"
    rb"|[56]\$(?:rounds=[0-9]{4,9}\$)?[A-Za-z0-9./]{1,16}\$(?:[A-Za-z0-9./]{43}|[A-Za-z0-9./]{86})"
    rb"|[89]\$[A-Za-z0-9./]{14}\$[A-Za-z0-9./]{43}"
    rb"|y\$[A-Za-z0-9./]{3,8}\$[A-Za-z0-9./]{1,86}\$[A-Za-z0-9./]{43}"
    rb"|argon2(?:id|i|d)\$v=[0-9]{1,3}\$m=[0-9]{1,9},t=[0-9]{1,4},p=[0-9]{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,})"
)
_SHAPES = (
    ("mailchimp_key", rb"\b[a-f0-9]{32}-us[0-9]{1,2}\b"),
    ("mailgun_key", rb"\b[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}\b"),
    ("telegram_token", rb"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("discord_token", rb"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"),
    ("azure_secret", _AZURE),
    ("terraform_token", rb"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}"),
    ("braintree_token", rb"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}"),
    ("newrelic_key", rb"\b(?:[a-f0-9]{36}|[a-z]{2}[0-9x]{4}[a-f0-9]{30})NRAL\b"),
    ("deepl_key", rb"\b" + _UUID + rb":fx\b"),
    ("fal_key", rb"\b" + _UUID + rb":[a-f0-9]{32}\b"),
    ("ghost_key", rb"\b[a-f0-9]{24}:[a-f0-9]{64}\b"),
    ("zhipu_key", rb"\b[a-f0-9]{32}\.[A-Za-z0-9]{16}\b"),
    ("ollama_key", rb"\b[a-f0-9]{32}\.[A-Za-z0-9_-]{24}"),
    ("salesforce_session", rb"\b00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{80,}"),
    ("facebook_secret", rb"\b[0-9]{13,17}(?:\||%7[Cc])[A-Za-z0-9_-]{27}\b"),
    ("sentry_dsn", rb"\b[a-f0-9]{32}(?::[a-f0-9]{32})?@(?:[a-z0-9-]{1,40}\.){0,4}sentry\.io/[0-9]{1,20}"),
    ("asana_token", rb"\b[0-2]/[0-9]{16}(?:/[0-9]{16})?:[a-f0-9]{32}\b"),
    ("dropbox_key", rb"\b[A-Za-z0-9]{10}[B-Zb-z0-9]AAAAAAAAAA[B-Zb-z0-9_-][A-Za-z0-9_=-]{42}"),
    ("password_hash", _HASHES),
)


def _formed(kind: str, pattern: bytes) -> Detector:
    look = expression(pattern)
    least = 20 if kind == "dropbox_key" else 1  # a long row of A is also what nothing looks like in base64

    def find(data: bytes) -> Iterator[Found]:
        for match in look.finditer(data):
            if len(set(match[0])) >= least:
                yield match.start(), match.end(), kind

    return Detector((kind,), "secret", pattern, find)


FORMED_TOKENS = tuple(_formed(kind, pattern) for kind, pattern in _SHAPES)

#!/usr/bin/env python3
"""Checks a slice of a Cenoby journal without trusting who exported it. One file, Python's standard library, `openssl`.

    python3 cenoby_verify.py --key LOGKEY export.json
    python3 cenoby_verify.py --key LOGKEY --checkpoint kept.txt --complete export.json

LOGKEY (NAME+ID+BASE64) is the log's public key. Get it from somewhere else than the export: a key that comes with what
it proves, proves nothing. `kept.txt` is a checkpoint that you, or somebody you trust, took away earlier.

How it works. Each node of a colony links its records: hash = SHA-256(hash before, header). All nodes' hashes are the
leaves of one Merkle tree (RFC 9162). Now and then the log signs the tree's size and root: a checkpoint (C2SP
tlog-checkpoint). An export holds records and the hashes of all parts of the tree that have none of them; so whoever has
a checkpoint can compute its root from the records, and a single changed bit anywhere leads to another root. Payloads
lie apart from headers, which hold their salted digests; an erased payload is gone, and its record still fits.

What it shows and what it cannot: docs/rule/evidence.md. Exit codes: 0 it holds, 1 it does not, 2 it cannot be read.
"""

import argparse
import base64
import bisect
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

FIELDS = ("format node id tenant time_ns kind agent mad tool action decision status code correlation causation "
          "invocation payload_digest").split()  # fmt: skip


MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration, RecursionError, struct.error)
"""What a field of a wrong type ends in."""


class Broken(Exception):
    """Something does not hold; the text says what."""


def need(holds, problem):
    """Go on where it holds."""
    if not holds:
        raise Broken(problem)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unhex(text, size):
    need(type(text) is str and re.fullmatch(r"[0-9a-f]{%d}" % (2 * size), text), f"{text!r:.80} is no hash")
    return bytes.fromhex(text)


def unbase64(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raw = b""
    need(raw and base64.b64encode(raw).decode() == text, f"{text!r:.80} is not base64")
    return raw


# ---- signatures: Ed25519, checked by the openssl command --------------------------------------------------------


def openssl_verifies(key, data, signature):
    """Whether the holder of the private key of `key` (32 bytes) signed `data`."""
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("key", "data", "signature")]
        for name, content in zip(names, (bytes.fromhex("302a300506032b6570032100") + key, data, signature)):
            with open(name, "wb") as file:
                file.write(content)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", names[0], "-rawin",
                   "-in", names[1], "-sigfile", names[2]]  # fmt: skip
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Key:
    """A public key as C2SP's signed-note writes it: NAME+ID+BASE64 of a type byte (1: log, 4: witness) and the key."""

    def __init__(self, text):
        name, number, encoded = (text.strip().split("+", 2) + ["", ""])[:3]
        raw = unbase64(encoded)
        need(len(raw) == 33 and raw[0] in (1, 4), f"{text!r:.120} is no Ed25519 key NAME+ID+BASE64")
        self.text, self.name, self.raw, self.witness = text.strip(), name, raw[1:], raw[0] == 4
        self.id = sha256(name.encode(), b"\n", raw)[:4]
        need(self.id.hex() == number, f"the id in {text!r:.120} is not that of the key")


class Checkpoint:
    """A signed note: origin, size and root of a log, an empty line, and signature lines."""

    def __init__(self, note):
        need(type(note) is str and "\n\n" in note, "there is no checkpoint")
        self.note = note
        self.text, _, below = note.rpartition("\n\n")
        self.text += "\n"
        lines = self.text.split("\n")
        need(len(lines) == 4 and lines[0] and re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]), "it is no checkpoint")
        self.origin, self.size, self.root = lines[0], int(lines[1]), unbase64(lines[2])
        need(len(self.root) == 32, "the checkpoint has no root")
        need(below.endswith("\n"), "the checkpoint is cut off")
        self.lines = [re.fullmatch(r"— (\S+) (\S+)", line) for line in below[:-1].split("\n")]
        need(all(self.lines), "the checkpoint has a line that is no signature")

    def signed_by(self, key, verifies):
        """When a witness saw it (Unix seconds), 0 for a log's key, None where `key` has not signed."""
        for name, raw in ((line[1], unbase64(line[2])) for line in self.lines):
            if name == key.name and raw[:4] == key.id:
                seconds = int.from_bytes(raw[4:12], "big") if key.witness else 0
                text = f"cosignature/v1\ntime {seconds}\n{self.text}" if key.witness else self.text
                signature = raw[12:] if key.witness else raw[4:]
                need(verifies(key.raw, text.encode(), signature), f"a signature of {name} does not hold")
                return seconds
        return None


def check_statement(envelope, body, key, verifies):
    """The export is what the log's keys signed: an in-toto statement in a DSSE envelope over everything else in it."""
    need(set(envelope) == {"payloadType", "payload", "signatures"}, "the statement has other fields than it should")
    kind, payload = envelope["payloadType"], unbase64(envelope["payload"])
    need(kind == "application/vnd.in-toto+json", "the statement is of another type")
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    keys = {one.id.hex(): one for one in map(Key, body["keys"])}
    need(
        key.text in body["keys"] and len(keys) == len(envelope["signatures"]), "the statement is not signed by the key"
    )
    for one in envelope["signatures"]:
        need(set(one) == {"keyid", "sig"} and one["keyid"] in keys, "the statement has a signature of nobody")
        need(
            verifies(keys.pop(one["keyid"]).raw, signed, unbase64(one["sig"])),
            "the statement's signature does not hold",
        )
    digest = sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hex()
    said = [one["digest"]["sha256"] for one in json.loads(payload)["subject"]]
    need(said == [digest], "the export is not the one that was signed")


# ---- the Merkle tree: RFC 9162, section 2.1 ----------------------------------------------------------------------


def split(size):
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def opened_root(start, size, leaves, proof):
    """The root over `size` leaves from `start` on: of the leaves that we have, and `proof` for parts without any."""
    have = bisect.bisect_left(leaves, (start,))
    if have == len(leaves) or leaves[have][0] >= start + size:
        need(proof, "the proof has too few hashes")
        return proof.pop()
    if size == 1:
        return leaves[have][1]
    left = opened_root(start, split(size), leaves, proof)
    right = opened_root(start + split(size), size - split(size), leaves, proof)
    return sha256(b"\1", left, right)


def consistent_roots(old, new, old_root, proof, whole=True):
    """The roots of the trees of `old` and of `new` leaves, from a consistency proof (2.1.4.1, read backwards)."""
    if old == new:
        need(whole or proof, "the consistency proof has too few hashes")
        only = old_root if whole else proof.pop()
        return only, only
    k = split(new)
    if old <= k:
        older, newer = consistent_roots(old, k, old_root, proof, whole)
        need(proof, "the consistency proof has too few hashes")
        return older, sha256(b"\1", newer, proof.pop())
    older, newer = consistent_roots(old - k, new - k, old_root, proof, False)
    need(proof, "the consistency proof has too few hashes")
    left = proof.pop()
    return sha256(b"\1", left, older), sha256(b"\1", left, newer)


def check_consistency(old, new, hashes):
    """The log of checkpoint `new` continues that of `old`."""
    need(old.origin == new.origin, f"a checkpoint is of another log, {old.origin}")
    need(0 < old.size <= new.size, f"the export ends before the checkpoint of {old.size} records; ask for a newer one")
    proof = [unhex(one, 32) for one in reversed(hashes)]
    roots = consistent_roots(old.size, new.size, old.root, proof)
    need(roots == (old.root, new.root) and not proof, f"the log does not continue its checkpoint of {old.size} records")


# ---- records -----------------------------------------------------------------------------------------------------


def msgpack(value):
    """A payload as the bytes that were hashed: msgpack in its shortest form."""

    def sized(size, fixed, most, kinds):
        if fixed is not None and size <= most:
            return bytes([fixed | size])
        return next(bytes([kind]) + struct.pack(form, size) for kind, form, end in kinds if size <= end)

    if value is None or value is True or value is False:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if type(value) is int and value >= 0:
        return sized(
            value, 0, 127, ((0xCC, "B", 255), (0xCD, ">H", 65535), (0xCE, ">I", 2**32 - 1), (0xCF, ">Q", 2**64))
        )
    if type(value) is int:
        kinds = ((0xD0, ">b", -128), (0xD1, ">h", -(2**15)), (0xD2, ">i", -(2**31)), (0xD3, ">q", -(2**63)))
        found = next(bytes([kind]) + struct.pack(form, value) for kind, form, end in kinds if value >= end)
        return struct.pack("b", value) if value >= -32 else found
    if type(value) is float:
        return b"\xcb" + struct.pack(">d", value)
    if type(value) is str:
        raw = value.encode()
        return sized(len(raw), 0xA0, 31, ((0xD9, "B", 255), (0xDA, ">H", 65535), (0xDB, ">I", 2**32 - 1))) + raw
    if type(value) is list:
        return sized(len(value), 0x90, 15, ((0xDC, ">H", 65535), (0xDD, ">I", 2**32))) + b"".join(map(msgpack, value))
    pairs = b"".join(msgpack(one) for pair in value.items() for one in pair)
    return sized(len(value), 0x80, 15, ((0xDE, ">H", 65535), (0xDF, ">I", 2**32))) + pairs


def check_payload(record, header, ids):
    """What became of the payload: `none`, `there`, `withheld` by who exported, or `erased` on the record."""
    fields = set(record) - {"index", "seq", "prev", "header"}
    name, digest = header["id"], header["payload_digest"]
    if not digest:
        need(not fields, f"record {name} never had a payload")
        return "none"
    if fields == {"withheld"}:
        need(record["withheld"] is True, f"record {name}: its payload is neither there nor withheld")
        return "withheld"
    if fields == {"erased"}:
        by = ids.get(record["erased"], {})
        told = by.get("kind") == "event" and by.get("code") == "payload_erased" and by.get("causation") == name
        need(told, f"record {name}: its payload is missing, and no record says that it was erased")
        return "erased"
    need(fields in ({"salt", "payload"}, {"salted"}), f"record {name}: its payload is missing")
    salted = (
        bytes.fromhex(record["salted"])
        if "salted" in record
        else unhex(record["salt"], 16) + msgpack(record["payload"])
    )
    need(hashlib.sha256(salted).hexdigest() == digest, f"record {name}: its payload was changed")
    return "there"


def check_records(export, slack_ns):
    """Each record's hash, links, payload and time; returns the leaves of the tree and what was counted."""
    leaves, ends, counts = [], {}, {"records": 0, "none": 0, "there": 0, "withheld": 0, "erased": 0}
    headers = [dict(zip(FIELDS, record["header"])) for record in export["records"]]
    ids = {header["id"]: header for header in headers}
    need(len(ids) == len(headers), "two records have the same id")
    for record, header in zip(export["records"], headers):
        index, seq, name = record["index"], record["seq"], header.get("id")
        need(type(index) is type(seq) is int and seq > 0, f"record {name} has no place")
        need(len(record["header"]) == len(FIELDS) and header["format"] == 1, f"record {name} is of another form")
        need(index > (leaves[-1][0] if leaves else -1), f"record {name} is out of order")
        text = json.dumps(record["header"], separators=(",", ":"), ensure_ascii=False)
        prev = unhex(record["prev"], 32)
        linked = sha256(prev, text.encode())
        before = ends.get(header["node"])
        if before:
            need(seq > before[0], f"record {name} comes before the one that it follows")
            need(seq != before[0] + 1 or prev == before[1], f"record {name} does not continue the one before it")
            need(header["time_ns"] >= before[2] - slack_ns, f"record {name} is dated before the record before it")
        ends[header["node"]] = (seq, linked, max(header["time_ns"], before[2] if before else 0))
        leaves.append((index, sha256(b"\0", seq.to_bytes(8, "big"), linked)))
        counts[check_payload(record, header, ids)] += 1
        counts["records"] += 1
    return leaves, headers, counts


def check_complete(export, leaves):
    """Whether every record between the ends that the export names is there; it may not say so where one is not."""
    chosen = export["selection"]
    first, end = chosen["first"], chosen["end"]
    there = sum(first <= index < end for index, _ in leaves)
    whole = 0 <= first < end and there == end - first
    need(whole or not chosen["complete"], f"{end - first - there} records between {first} and {end} are left out")
    return whole and chosen["complete"]


# ---- all of it ---------------------------------------------------------------------------------------------------


def verify(export, key, kept=(), witnesses=(), slack=60, complete=False, verifies=openssl_verifies):
    """Check an export (decoded JSON); returns what there is to say, raises Broken where anything does not hold."""
    wanted = {"format", "selection", "keys", "checkpoint", "earlier", "proof", "records", "statement"}
    need(type(export) is dict and set(export) == wanted, "it is no export, or has other fields than it should")
    need(export["format"] == "cenoby-evidence-1", "it is an export of another form")
    check_statement(export["statement"], {name: export[name] for name in wanted - {"statement"}}, key, verifies)
    newest = Checkpoint(export["checkpoint"])
    need(newest.origin == key.name, f"the checkpoint is of another log, {newest.origin}")
    need(newest.signed_by(key, verifies) is not None, "the checkpoint is not signed by the key")
    leaves, headers, counts = check_records(export, slack * 10**9)
    proof = [unhex(one, 32) for one in reversed(export["proof"])]
    need(not leaves or leaves[-1][0] < newest.size, "a record is behind the checkpoint")
    need(newest.size > 0 and opened_root(0, newest.size, leaves, proof) == newest.root and not proof,
         "the records are not those under the checkpoint")  # fmt: skip
    earlier = {}
    for one in export["earlier"]:
        need(set(one) == {"checkpoint", "proof"}, "an earlier checkpoint has other fields than it should")
        old = Checkpoint(one["checkpoint"])
        check_consistency(old, newest, one["proof"])
        earlier[old.size] = old
    for mine in map(Checkpoint, kept):
        need(mine.signed_by(key, verifies) is not None, "a checkpoint that you kept is not signed by the key")
        same = newest if mine.size == newest.size else earlier.get(mine.size)
        need(mine.size <= newest.size, f"the export ends before your checkpoint of {mine.size} records")
        need(same, f"the export has no proof for your checkpoint of {mine.size} records; ask for it with that one")
        need((mine.origin, mine.root) == (same.origin, same.root), f"HISTORY WAS REWRITTEN: the log is not the one of "
             f"your checkpoint of {mine.size} records")  # fmt: skip
    seen = []
    for witness in witnesses:
        when = [(one.size, one.signed_by(witness, verifies)) for one in (newest, *map(Checkpoint, kept))]
        need(any(at is not None for _, at in when), f"{witness.name} has cosigned no checkpoint of these")
        for size, at in ((size, at) for size, at in when if at is not None):
            late = [h["id"] for (i, _), h in zip(leaves, headers) if i < size and h["time_ns"] > (at + slack) * 10**9]
            need(not late, f"record {late and late[0]} is dated after {witness.name} had seen it")
            seen.append({"witness": witness.name, "size": size, "time": at})
    whole = check_complete(export, leaves)
    need(whole or not complete, "the export is a selection: it cannot show that nothing was left out")
    return {"ok": True, "log": newest.origin, "size": newest.size, "complete": whole, **counts,
            "checkpoints": len(kept), "seen": seen}  # fmt: skip


def no_duplicates(pairs):
    need(len(dict(pairs)) == len(pairs), "a field is there twice")
    return dict(pairs)


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", help="what `cenoby evidence export` (or prove, or consistency) wrote")
    parser.add_argument("--key", required=True, help="the log's public key, NAME+ID+BASE64, from elsewhere")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="FILE", help="one that you kept")
    parser.add_argument("--witness", action="append", default=[], metavar="KEY", help="a witness that must have signed")
    parser.add_argument("--complete", action="store_true", help="refuse a selection")
    parser.add_argument("--slack", type=int, default=60, help="seconds that a clock may have stepped back (60)")
    chosen = parser.parse_args(arguments)
    try:
        with open(chosen.export, encoding="utf-8") as file:
            export = json.load(file, object_pairs_hook=no_duplicates)
        kept = [open(name, encoding="utf-8").read() for name in chosen.checkpoint]  # noqa: SIM115
        witnesses = [Key(text) for text in chosen.witness]
        found = verify(export, Key(chosen.key), kept, witnesses, chosen.slack, chosen.complete)
    except (OSError, UnicodeError, json.JSONDecodeError) as error:
        print(json.dumps({"ok": False, "problem": f"it cannot be read: {error}"}))
        return 2
    except Broken as problem:
        print(json.dumps({"ok": False, "problem": str(problem)}, ensure_ascii=False))
        return 1
    except MALFORMED as error:
        print(json.dumps({"ok": False, "problem": f"a field is not what it should be: {error!r:.200}"}))
        return 1
    print(json.dumps(found, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

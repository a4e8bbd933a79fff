"""Signed notes and checkpoints: what C2SP publishes is read, what we write is read again, nothing else is believed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence.notes import Checkpoint, NoteInvalid, NoteKey, cosignatures_in, read_checkpoint

PUBLISHED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 \
jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""
"""The example of c2sp.org/tlog-cosignature."""
LOG, WITNESS = SigningKey.generate(), SigningKey.generate()
LOG_KEY, WITNESS_KEY = NoteKey("log.example", LOG.public), NoteKey("w.example/1", WITNESS.public, cosigns=True)


def test_the_published_example_is_read_and_written_back() -> None:
    """Origin, size and root of C2SP's own example, and the same bytes again."""
    found = read_checkpoint(PUBLISHED)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert base64.b64encode(found.root).decode() == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert found.note == PUBLISHED


def test_the_go_checksum_databases_key_is_read() -> None:
    """A verifier key that the world uses: its id is computed as ours are."""
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    assert NoteKey.from_text(text).to_text() == text


@given(st.integers(0, 2**62), st.binary(min_size=32, max_size=32), st.integers(0, 2**40))
def test_what_is_signed_is_read_again(size: int, root: bytes, seconds: int) -> None:
    """A checkpoint with the log's signature and a witness's goes through text unchanged, and both are told."""
    made = Checkpoint.of("log.example", size, root).signed("log.example", LOG)
    made = made.joined([made.cosignature("w.example/1", WITNESS, seconds)])
    read = read_checkpoint(made.note)
    assert read == made
    assert read.of_log([LOG_KEY]) == read
    assert read.signed_by(WITNESS_KEY) == seconds
    assert NoteKey.from_text(WITNESS_KEY.to_text()).to_text() == WITNESS_KEY.to_text()


def test_who_is_not_believed_is_not_believed() -> None:
    """No signature of ours, one in our name that does not hold, a witness's in place of the log's: all refused."""
    made = Checkpoint.of("log.example", 7, bytes(32)).signed("log.example", LOG)
    other = NoteKey("log.example", WITNESS.public)
    with pytest.raises(NoteInvalid, match="No key"):
        made.of_log([other])
    with pytest.raises(NoteInvalid, match="No key"):
        made.of_log([NoteKey("else.example", LOG.public)])
    bent = read_checkpoint(made.note.replace("\n7\n", "\n8\n"))
    with pytest.raises(NoteInvalid, match="does not hold"):
        bent.of_log([LOG_KEY])
    assert made.signed_by(WITNESS_KEY) is None


@given(st.data())
def test_a_changed_letter_is_no_checkpoint_or_is_not_believed(data: st.DataObject) -> None:
    """Whatever single character of a note is another one: it cannot be read, is not the log's, or its text is that."""
    note = Checkpoint.of("log.example", 7, bytes(range(32))).signed("log.example", LOG).note
    at = data.draw(st.integers(0, len(note) - 1))
    char = data.draw(st.characters().filter(lambda one: one != note[at]))
    with pytest.raises(NoteInvalid):
        read_checkpoint(note[:at] + char + note[at + 1 :]).of_log([LOG_KEY])


@pytest.mark.parametrize(
    "note",
    ["", "a\n\n", "a\n1\n\n— a b\n", "a\n01\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n", "a\n1\nAAAA\n\n— a AAAAAAA=\n"],
)
def test_what_is_no_checkpoint_says_so(note: str) -> None:
    """Missing parts, leading zeroes, short roots."""
    with pytest.raises(NoteInvalid):
        read_checkpoint(note)


def test_only_signature_lines_are_taken_from_a_witness() -> None:
    """Whatever else it answers stays out of our notes."""
    line = Checkpoint.of("log.example", 1, bytes(32)).cosignature("w.example/1", WITNESS, 5)
    assert cosignatures_in(f"hello\n{line}— x\n\n{line}") == [line, line]
    assert cosignatures_in("") == []

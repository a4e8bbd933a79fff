"""Secret sharing over GF(256), and shares as people keep them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.protection.seal import SealRefused
from cenoby.protection.vault.seals.shamir import combine, inverse, multiply, split
from cenoby.protection.vault.seals.shares import Share, new_set


def test_the_field_is_that_of_aes() -> None:
    """The products that FIPS 197, section 4.2 computes, and every inverse."""
    assert (multiply(0x57, 0x83), multiply(0x57, 0x13)) == (0xC1, 0xFE)
    assert all(multiply(each, inverse(each)) == 1 for each in range(1, 256))


def test_published_shares_give_the_published_secret() -> None:
    """The test case of draft-mcgrew-tss-03, section 9: threshold 2, secret `test` and a zero byte."""
    shares = {1: bytes.fromhex("B9FA07E185"), 2: bytes.fromhex("F5409B4511")}
    assert combine(shares) == bytes.fromhex("7465737400")
    # The same polynomial gives these shares again.
    line = bytes(a ^ b for a, b in zip(bytes.fromhex("B9FA07E185"), bytes.fromhex("7465737400"), strict=True))
    assert split(bytes.fromhex("7465737400"), 2, 2, random_bytes=lambda count: line) == shares


@given(
    secret=st.binary(min_size=1, max_size=40), numbers=st.tuples(st.integers(1, 6), st.integers(0, 4)), data=st.data()
)
def test_any_threshold_shares_recover(secret: bytes, numbers: tuple[int, int], data: st.DataObject) -> None:
    """Whichever shares come together, and with more of them than needed."""
    threshold, more = numbers
    shares = split(secret, threshold, threshold + more)
    chosen = data.draw(st.lists(st.sampled_from(sorted(shares)), min_size=threshold, unique=True))
    assert combine({index: shares[index] for index in chosen}) == secret


def test_two_shares_of_three_tell_nothing() -> None:
    """Over all 65,536 choices of the random coefficients, two shares take every pair of values exactly once: of a
    secret that is not zero, and so of every one."""
    pairs = [
        bytes(low for _ in range(256) for low in range(256)),
        bytes(high for high in range(256) for _ in range(256)),
    ]
    coefficients = iter(pairs)
    shares = split(b"\x7f" * 65_536, 3, 3, random_bytes=lambda count: next(coefficients))
    assert len(set(zip(shares[1], shares[3], strict=True))) == 65_536


def test_one_share_of_two_is_uniform() -> None:
    """For every secret, the 256 choices of the coefficient give each value of a share exactly once."""
    for secret in (0, 1, 200, 255):
        for index in (1, 2):
            values = {
                split(bytes([secret]), 2, 2, random_bytes=lambda count, byte=byte: bytes([byte]))[index]
                for byte in range(256)
            }
            assert len(values) == 256


@given(st.integers(0, 6), st.integers(0, 255))
def test_a_typing_error_is_noticed(place: int, noise: int) -> None:
    """A share reads back as it was; with one character changed, it is refused, and the message does not repeat it."""
    text = new_set(b"k" * 32, 2, 3)[1][1].to_text()
    assert Share.from_text(f"  {text.upper()} \n").to_text() == text
    at = 15 + place * 8
    letter = "abcdefghijklmnopqrstuvwxyz234567"[noise % 32]
    wrong = text[:at] + letter + text[at + 1 :]
    if wrong != text:
        with pytest.raises(SealRefused) as refused:
            Share.from_text(wrong)
        assert text[20:30] not in refused.value.message


def test_a_share_that_was_forged_or_is_of_another_set_is_refused() -> None:
    """Also one whose check sum fits: the vault knows a digest of each."""
    ours, held = new_set(b"k" * 32, 2, 3)
    _, other = new_set(b"k" * 32, 2, 3)
    ours.check(held[2])
    for wrong in (other[0], Share(ours.id, 1, held[1].value), Share(ours.id, 4, held[0].value), Share(ours.id, 0, b"")):
        with pytest.raises(SealRefused):
            ours.check(wrong)

"""The Merkle tree: against the definitions of RFC 9162, and against pymerkle, which others wrote."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_inclusion

from cenoby.protection.evidence.merkle import EMPTY_ROOT, Growth, Tree, follows, included

Tiles = dict[tuple[int, int], bytes]


def leaf(data: bytes) -> bytes:
    return sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def below(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it is written."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    k = below(len(leaves))
    return node(root_of(leaves[:k]), root_of(leaves[k:]))


def path_of(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1, as it is written."""
    if len(leaves) == 1:
        return []
    k = below(len(leaves))
    if m < k:
        return [*path_of(m, leaves[:k]), root_of(leaves[k:])]
    return [*path_of(m - k, leaves[k:]), root_of(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 9162, 2.1.4.1, as it is written."""
    if m == len(leaves):
        return [] if whole else [root_of(leaves)]
    k = below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), root_of(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), root_of(leaves[:k])]


def opened(size: int, leaves: dict[int, bytes], proof: list[bytes], start: int = 0) -> bytes:
    """The root from some leaves and what `opening` gave: the walk that the verifier makes."""
    if not any(start <= index < start + size for index in leaves):
        return proof.pop(0)
    if size == 1:
        return leaves[start]
    k = below(size)
    left = opened(k, leaves, proof, start)
    return node(left, opened(size - k, leaves, proof, start + k))


def grown(batches: list[int]) -> tuple[Tiles, list[bytes]]:
    """The tiles of a tree that grew by such batches, each read anew from what was stored, and its leaves."""
    tiles: Tiles = {}
    leaves: list[bytes] = []

    def read(level: int, number: int) -> bytes:
        return tiles[level, number]

    for batch in batches:
        more = [leaf(number.to_bytes(8, "big")) for number in range(len(leaves), len(leaves) + batch)]
        growth = Growth(len(leaves), read)
        growth.add(more)
        leaves += more
        tiles.update({(level, number): hashes for level, number, hashes in growth.take_changed()})
    return tiles, leaves


def tree(tiles: Tiles, size: int) -> Tree:
    return Tree(size, lambda level, number: tiles[level, number])


BATCHES = st.lists(st.integers(0, 700), min_size=1, max_size=5)


def test_the_empty_tree_and_the_first_leaves() -> None:
    """The root of no leaves is the hash of nothing, of one leaf that leaf."""
    assert tree({}, 0).root() == EMPTY_ROOT == root_of([])
    tiles, leaves = grown([1])
    assert tree(tiles, 1).root() == leaves[0]
    assert tree(tiles, 1).inclusion(0) == []


def test_known_answers() -> None:
    """The roots of the Certificate Transparency tests' eight entries (RFC 6962 and 9162 share the tree)."""
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    known = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    tiles: Tiles = {}
    growth = Growth(0, lambda level, number: tiles[level, number])
    growth.add([leaf(bytes.fromhex(entry)) for entry in entries])
    tiles |= {(level, number): hashes for level, number, hashes in growth.take_changed()}
    assert {size: tree(tiles, 8).root(size).hex() for size in known} == known


@given(BATCHES, st.data())
def test_roots_and_proofs_are_those_of_the_rfc(batches: list[int], data: st.DataObject) -> None:
    """However the tree grew: every earlier root, inclusion and consistency proof is what the definitions say."""
    tiles, leaves = grown(batches)
    size = data.draw(st.integers(0, len(leaves)), "size")
    read = tree(tiles, size)
    assert read.root() == root_of(leaves[:size])
    if not size:
        return
    index = data.draw(st.integers(0, size - 1), "index")
    assert read.inclusion(index) == path_of(index, leaves[:size])
    assert included(index, size, leaves[index], read.root(), read.inclusion(index))
    old = data.draw(st.integers(1, size), "old")
    assert read.consistency(old) == subproof(old, leaves[:size], True)
    assert follows(old, root_of(leaves[:old]), size, read.root(), read.consistency(old))


@given(BATCHES, st.data())
def test_one_proof_opens_any_leaves(batches: list[int], data: st.DataObject) -> None:
    """The opening of any selection leads to the root, and for one leaf has as many hashes as its inclusion proof."""
    tiles, leaves = grown(batches)
    if not leaves:
        return
    indexes = data.draw(st.lists(st.integers(0, len(leaves) - 1), unique=True, min_size=1, max_size=9).map(sorted))
    read = tree(tiles, len(leaves))
    proof = read.opening(indexes)
    assert opened(len(leaves), {index: leaves[index] for index in indexes}, proof) == read.root()
    assert proof == []
    assert sorted(read.opening(indexes[:1])) == sorted(read.inclusion(indexes[0]))


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_a_changed_proof_proves_nothing(one: int, two: int, data: st.DataObject) -> None:
    """A hash changed, left out or added, another size, another root: none of them holds."""
    old, size = sorted((one, two))
    tiles, leaves = grown([size])
    read = tree(tiles, size)
    proof, old_root = read.consistency(old), root_of(leaves[:old])
    changes: list[list[bytes]] = [[*proof, bytes(32)]]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        changes += [proof[:at] + proof[at + 1 :], [*proof[:at], bytes(32), *proof[at + 1 :]]]
    for changed in changes:
        assert not follows(old, old_root, size, read.root(), changed)
    assert not follows(old, bytes(32), size, read.root(), proof)
    assert not follows(old, old_root, size, bytes(32), proof)
    index = data.draw(st.integers(0, size - 1))
    path = read.inclusion(index)
    assert not included(index, size, bytes(32), read.root(), path)
    assert not included(index, size, leaves[index], read.root(), [*path, bytes(32)])
    assert not included(size, size, leaves[index], read.root(), path)
    if path:
        assert not included(index, size, leaves[index], read.root(), path[1:])
        assert not included(index ^ 1, size, leaves[index], read.root(), path)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000])
def test_pymerkle_finds_the_same_roots_and_believes_our_tree(size: int) -> None:
    """A second implementation, not ours: the same root at every size asked, and its own proofs hold for our roots."""
    theirs: Any = InmemoryTree(algorithm="sha256")
    for number in range(size):
        theirs.append_entry(number.to_bytes(8, "big"))
    tiles, _ = grown([size])
    ours = tree(tiles, size)
    for some in {1, size // 2, size} - {0}:
        assert theirs.get_root(some) == ours.root(some)
    for index in {0, size // 3, size - 1}:
        assert theirs.get_leaf(index + 1) == ours.leaf(index)
        verify_inclusion(ours.leaf(index), ours.root(), theirs.prove_inclusion(index + 1, size))
        theirs_path = [bytes.fromhex(one) for one in theirs.prove_inclusion(index + 1, size).serialize()["path"]]
        assert set(ours.inclusion(index)) <= set(theirs_path)

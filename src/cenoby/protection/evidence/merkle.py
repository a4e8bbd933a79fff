"""The Merkle tree of RFC 9162, section 2.1, kept in tiles of 256 hashes as C2SP's tlog-tiles cut it.

A leaf is SHA-256 over a zero byte, the record's place in its node's chain (8 bytes, big-endian) and its chain hash; an
inner node is SHA-256 over a one byte and its two children. Tile `number` of `level` holds the hashes of complete
subtrees of 256**level leaves, from `number * 256` on; what fills it later never changes what is in it. So a tree of any
earlier size can be read from the tiles of a later one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from hashlib import sha256

HASH = 32
"""Bytes of a hash."""
TILE = 256
"""Hashes of a full tile."""
_HEIGHT = 8
_FULL = HASH * TILE
EMPTY_ROOT = sha256(b"").digest()

ReadTile = Callable[[int, int], bytes]
"""`(level, number)` to the hashes of a tile as far as it is filled."""


def leaf_hash(seq: int, linked: bytes) -> bytes:
    """The leaf of a record.

    Args:
        seq: its place in its node's chain.
        linked: its chain hash, 32 bytes.
    """
    return sha256(b"\0" + seq.to_bytes(8, "big") + linked).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node over two others."""
    return sha256(b"\1" + left + right).digest()


def _folded(hashes: bytes) -> bytes:
    """The root over a power of two of hashes that lie behind each other."""
    while len(hashes) > HASH:
        hashes = b"".join(
            [sha256(b"\1" + hashes[at : at + 2 * HASH]).digest() for at in range(0, len(hashes), 2 * HASH)]
        )
    return hashes


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


class Growth:
    """A tree that grows: its rightmost tiles, and which tiles changed since they were last taken.

    Args:
        size: leaves so far.
        read: the tiles as they are stored.
    """

    def __init__(self, size: int, read: ReadTile) -> None:
        self.size = size
        self._tails: list[bytearray] = []
        self._changed: dict[tuple[int, int], bytes] = {}
        self._grown: set[int] = set()
        level, filled = 0, size
        while filled:
            number, rest = divmod(filled, TILE)
            self._tails.append(bytearray(read(level, number)[: rest * HASH] if rest else b""))
            level, filled = level + 1, number

    def add(self, leaves: Sequence[bytes]) -> None:
        """Append leaves; about 0.5 µs each."""
        self._push(0, b"".join(leaves))
        self.size += len(leaves)

    def take_changed(self) -> list[tuple[int, int, bytes]]:
        """Tiles that grew since this was last asked, as `(level, number, hashes)`."""
        for level in self._grown:
            if tail := self._tails[level]:
                self._changed[level, (self.size >> (_HEIGHT * level)) // TILE] = bytes(tail)
        changed = [(level, number, hashes) for (level, number), hashes in self._changed.items()]
        self._changed, self._grown = {}, set()
        return changed

    def _push(self, level: int, hashes: bytes) -> None:
        if level == len(self._tails):
            self._tails.append(bytearray())
        tail = self._tails[level]
        self._grown.add(level)
        number = (self.size >> (_HEIGHT * level)) // TILE
        roots: list[bytes] = []
        at = 0
        while len(tail) + len(hashes) - at >= _FULL:
            room = _FULL - len(tail)
            tail += hashes[at : at + room]
            at += room
            self._changed[level, number] = bytes(tail)
            roots.append(_folded(bytes(tail)))
            number += 1
            tail.clear()
        tail += hashes[at:]
        if roots:
            self._push(level + 1, b"".join(roots))


class Tree:
    """A tree of a given size, read from its tiles.

    Args:
        size: its leaves; at most those that the tiles hold.
        read: its tiles.
    """

    def __init__(self, size: int, read: ReadTile) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def root(self, size: int | None = None) -> bytes:
        """The root of the whole tree, or of its first `size` leaves."""
        size = self.size if size is None else size
        return self._range(0, size) if size else EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """One leaf hash."""
        return self._subtree(0, index)

    def inclusion(self, index: int) -> list[bytes]:
        """The inclusion proof of a leaf (RFC 9162, section 2.1.3.1), the hash beside the leaf first."""
        proof: list[bytes] = []
        start, end = 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, old: int) -> list[bytes]:
        """The proof that the first `old` leaves are those of a tree of that size (RFC 9162, section 2.1.4.1).

        Raises:
            ValueError: the tree never had that size.
        """
        if not 0 <= old <= self.size:
            raise ValueError(f"a tree of {self.size} leaves has no older one of {old}")
        if old in (0, self.size):
            return []
        proof: list[bytes] = []
        start, end, whole = 0, self.size, True
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            proof.append(self._range(start, end))
        return proof[::-1]

    def opening(self, indexes: Sequence[int]) -> list[bytes]:
        """One proof for many leaves: the roots of the largest parts of the tree without any of them, left to right.

        Args:
            indexes: which leaves, in rising order.
        """
        proof: list[bytes] = []
        parts = [(0, self.size)] if self.size else []
        while parts:
            start, end = parts.pop()
            first = bisect_left(indexes, start)
            if first == len(indexes) or indexes[first] >= end:
                proof.append(self._range(start, end))
            elif end - start > 1:
                middle = start + _split(end - start)
                parts += [(middle, end), (start, middle)]
        return proof

    def _range(self, start: int, end: int) -> bytes:
        size = end - start
        if size & (size - 1) == 0:
            return self._subtree(size.bit_length() - 1, start // size)
        middle = start + _split(size)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def _subtree(self, height: int, index: int) -> bytes:
        level, rest = divmod(height, _HEIGHT)
        number, offset = divmod(index << rest, TILE)
        tile = self._tiles.get((level, number))
        if tile is None:
            tile = self._tiles[level, number] = self._read(level, number)
        return _folded(tile[offset * HASH : (offset + (1 << rest)) * HASH])


def follows(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof shows that the newer tree continues the older one (RFC 9162, section 2.1.4.2).

    Args:
        old, new: their sizes.
        old_root, new_root: their roots.
        proof: as `Tree.consistency` gives it.
    """
    if old == new or old == 0:
        return not proof and (old_root == new_root if old == new else old_root == EMPTY_ROOT)
    if old > new:
        return False
    rest = list(proof) if old & (old - 1) else [old_root, *proof]
    if not rest:
        return False
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    older = newer = rest[0]
    for one in rest[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            older, newer = node_hash(one, older), node_hash(one, newer)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            newer = node_hash(newer, one)
        first, last = first >> 1, last >> 1
    return last == 0 and older == old_root and newer == new_root


def included(index: int, size: int, leaf: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether an inclusion proof shows a leaf at its place in a tree (RFC 9162, section 2.1.3.2).

    Args:
        index, size: the leaf's place, and the leaves of the tree.
        leaf, root: the leaf's hash, and the tree's.
        proof: as `Tree.inclusion` gives it.
    """
    if not 0 <= index < size:
        return False
    here, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(one, found)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, one)
        here, last = here >> 1, last >> 1
    return last == 0 and found == root

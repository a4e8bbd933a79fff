"""What comes back from outside: an answer while it arrives, a complete one, and how a request fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import httpcore2
import httpx2

from cenoby.kernel.errors import Unavailable
from cenoby.protection.egress_policy import EgressRefused


class EgressFailed(Unavailable):
    """A request that was let out and got no usable answer."""

    codes = {
        "egress_timeout": "No complete answer came in time.",
        "egress_unreachable": "The host has no address, or nothing answers there.",
        "egress_answer": "What came back is not valid HTTP, or its compression is damaged.",
    }


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer.

    Attributes:
        url: the URL that answered, after redirects.
        status: HTTP status.
        headers: response headers, names in lower case; repeated ones joined by a comma.
        body: the decompressed body.
        hops: every URL that was asked, the first one included.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    hops: tuple[str, ...]


class Answer:
    """The head of an answer whose body is still arriving."""

    def __init__(self, response: httpx2.Response, max_bytes: int) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self._response = response
        self._max_bytes = max_bytes

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The decompressed body as it arrives.

        Raises:
            EgressRefused: more bytes than the limit.
            EgressFailed: the answer broke off or cannot be decompressed.
        """
        size = 0
        with as_egress_errors():
            async with aclosing(self._response.aiter_bytes()) as parts:
                async for part in parts:
                    size += len(part)
                    if size > self._max_bytes:
                        raise EgressRefused("egress_too_large", f"The answer exceeds {self._max_bytes} bytes.")
                    yield part

    async def read(self) -> bytes:
        """The whole body; raises as `chunks` does."""
        return b"".join([part async for part in self.chunks()])

    async def lines(self) -> AsyncGenerator[str]:
        """The body as lines of UTF-8 without their ends (LF or CRLF), as event streams need them."""
        pending = bytearray()
        async with aclosing(self.chunks()) as parts:
            async for part in parts:
                pending += part
                if b"\n" in part:
                    *complete, rest = bytes(pending).split(b"\n")
                    pending = bytearray(rest)
                    for line in complete:
                        yield line.removesuffix(b"\r").decode("utf-8", "replace")
        if pending:
            yield bytes(pending).decode("utf-8", "replace")


@contextmanager
def as_egress_errors() -> Generator[None]:
    """What the library raises, in our words."""
    try:
        yield
    except httpcore2.LocalProtocolError as error:
        raise EgressRefused("egress_url", f"The request cannot be written: {error}.") from None
    except httpcore2.TimeoutException:
        raise EgressFailed("egress_timeout", "The host did not answer in time.", retry_after=1.0) from None
    except (httpcore2.ProtocolError, httpx2.DecodingError) as error:
        raise EgressFailed("egress_answer", f"What came back is not a valid answer: {error}.") from None
    except httpcore2.NetworkError as error:
        raise EgressFailed("egress_unreachable", f"Nothing usable answers there: {error}.", retry_after=1.0) from None

"""Log lines leave by a thread of their own, so that a reader who stops reading cannot stop the colony."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TextIO

_BATCH = 200


class LineWriter:
    """Writes lines to a stream in order. When `depth` lines wait, further ones are dropped and counted.

    A client that starts `cenoby stdio` and never reads its standard error fills that pipe after 64 KiB; from then on a
    direct write would block the event loop for ever.

    Args:
        stream: where the lines go.
        depth: lines that may wait.
    """

    def __init__(self, stream: TextIO, depth: int = 10_000) -> None:
        self._stream = stream
        self._depth = depth
        self._queue: SimpleQueue[str | threading.Event | None] = SimpleQueue()
        self._told = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="log-lines", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Hand over one line, without its newline; never waits and never raises."""
        if self._queue.qsize() >= self._depth:
            self.dropped += 1
        else:
            self._queue.put(line)

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait at most `timeout` seconds until all lines handed over so far are written; whether they are."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def close(self, timeout: float = 1.0) -> None:
        """Write what waits, for at most `timeout` seconds, and stop the thread."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            lines: list[str] = []
            items = self._take()
            for item in items:
                if isinstance(item, str):
                    lines.append(item)
                    continue
                self._put_out(lines)
                lines = []
                if item is None:
                    return
                item.set()
            self._put_out(lines)

    def _take(self) -> list[str | threading.Event | None]:
        items = [self._queue.get()]
        try:
            while len(items) < _BATCH:
                items.append(self._queue.get_nowait())
        except Empty:
            pass
        return items

    def _put_out(self, lines: list[str]) -> None:
        dropped, waiting = self.dropped, len(lines)
        if dropped > self._told:
            lines.append(f'{{"event":"log_lines_dropped","level":"warning","lines":{dropped - self._told}}}')
        if not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
            self._told = dropped
        except (OSError, ValueError):
            # The stream is gone (closed pipe, full disk). There is no other place to tell it; the count shows it.
            self.dropped += waiting

"""A cursor over the blocks of a file: lines, exact sizes and searches, with damage as a place where reading stops.

A read that comes short stands at damage or at the end. `take_damage` tells which, and lets reading go on behind the
damage.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable

from pipelines.sources.decompression import Damage, Event, MemberStart


class Scanner:
    """Reads forward through decompressed bytes.

    Args:
        events: what `decompressed` yields.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = iter(events)
        self._buffer = bytearray()
        self._position = 0
        self._members: deque[tuple[int, int]] = deque()
        self._damage: Damage | None = None
        self._ended = False

    @property
    def offset(self) -> int:
        """Offset of a record that begins at the cursor, as `Record.offset` defines it."""
        self._fill(1)
        while self._members and self._members[0][0] < self._position:
            self._members.popleft()
        at_start = [offset for position, offset in self._members if position == self._position]
        return at_start[-1] if at_start else self._position

    def _fill(self, size: int) -> bool:
        """Buffer `size` bytes if they are there before damage or the end."""
        while len(self._buffer) < size:
            if self._ended or self._damage:
                return False
            event = next(self._events, None)
            if event is None:
                self._ended = True
            elif isinstance(event, Damage):
                self._damage = event
            elif isinstance(event, MemberStart):
                self._members.append((self._position + len(self._buffer), event.offset))
            else:
                self._buffer += event
        return True

    def peek(self, size: int) -> bytes:
        """Return the next bytes, at most `size`, without moving."""
        self._fill(size)
        return bytes(self._buffer[:size])

    def at_end(self) -> bool:
        """Tell whether everything is read; damage that nobody took is not the end."""
        return not self._fill(1) and self._damage is None

    def take_damage(self) -> Damage | None:
        """Return the damage at which the cursor stands, if any, and step over it."""
        if self._fill(1):
            return None
        damage, self._damage = self._damage, None
        return damage

    def read(self, size: int) -> bytes:
        """Read `size` bytes; fewer at damage or the end."""
        self._fill(size)
        data = bytes(self._buffer[:size])
        self._drop(len(data))
        return data

    def skip(self, size: int) -> int:
        """Move over `size` bytes without keeping them; return how many there were."""
        left = size
        while left and self._fill(1):
            step = min(left, len(self._buffer))
            self._drop(step)
            left -= step
        return size - left

    def read_until(self, end: bytes, limit: int) -> bytes:
        """Read up to and with `end`, or to damage, the end of the file or `limit` bytes where those come first."""
        searched = 0
        while True:
            found = self._buffer.find(end, searched)
            if found >= 0:
                return self.read(min(found + len(end), limit))
            if len(self._buffer) >= limit:
                return self.read(limit)
            searched = max(0, len(self._buffer) - len(end) + 1)
            if not self._fill(len(self._buffer) + 1):
                return self.read(len(self._buffer))

    def read_line(self, limit: int) -> bytes:
        """Read a line with its line feed; without it where damage, the end of the file or `limit` came first."""
        return self.read_until(b"\n", limit)

    def skip_to(self, pattern: re.Pattern[bytes], width: int, limit: int | None = None) -> int:
        """Move to where `pattern` next matches, or to damage, the end or behind `limit` bytes; return the bytes passed
        over.

        Args:
            pattern: what to look for.
            width: the most bytes that a match can have.
            limit: bytes in which a whole match must lie; None: no limit.
        """
        passed = 0
        while True:
            left = sys.maxsize if limit is None else limit - passed
            found = pattern.search(self._buffer, 0, left)
            # A match that begins in the last `width` bytes could grow with the next block, so those wait for it; no
            # other match does, or the buffer would grow by a block with every short record.
            settled = min(len(self._buffer), left) - width
            if (found is None or found.start() > settled) and len(self._buffer) < left:
                if self._fill(max(len(self._buffer), width) + 1):
                    self._drop(max(0, settled))
                    passed += max(0, settled)
                    continue
                found = pattern.search(self._buffer, 0, left)
            step = found.start() if found else min(len(self._buffer), left)
            self._drop(step)
            return passed + step

    def skip_past(self, end: bytes) -> int:
        """Move behind the next `end`, or to damage or the end; return the bytes passed over."""
        passed = self.skip_to(re.compile(re.escape(end)), len(end))
        if self.peek(len(end)) == end:
            passed += self.skip(len(end))
        return passed

    def push_back(self, data: bytes) -> None:
        """Put bytes that were read back in front of the cursor."""
        self._buffer = bytearray(data) + self._buffer
        self._position -= len(data)

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._position += size


def skip_blanks(scanner: Scanner, blanks: bytes = b" \t\r\n") -> None:
    """Move over blanks, of which a few are expected between records."""
    while (byte := scanner.peek(1)) and byte in blanks:
        scanner.skip(1)

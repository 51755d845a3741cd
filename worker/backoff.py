"""Pauses that grow while the same thing fails again, and logs that say it less and less often."""

import random
import threading


class Backoff:
    """Seconds to wait after each failure: ``first``, then twice as long each time, up to ``longest``.

    Each pause is varied by up to a fifth, so that workers that failed together do not try again together.
    """

    def __init__(self, first: float = 2.0, longest: float = 60.0) -> None:
        self._first, self._longest = first, longest
        self._failures = 0

    def pause(self) -> float:
        """Seconds to wait after one more failure."""
        exponent = min(self._failures, 30)  # beyond that only the cap counts
        self._failures += 1
        return min(self._longest, self._first * 2.0**exponent) * random.uniform(0.8, 1.2)

    def reset(self) -> None:
        """It has succeeded: the next pause is the first one again."""
        self._failures = 0


class RepeatedMessages:
    """Decides which of many equal messages are logged: the 1st, 2nd, 4th, 8th, ... in a row, and every new one.

    Where ``together`` sources say the same, as workers of one machine do, their messages count as one.
    """

    def __init__(self, together: int = 1) -> None:
        self._together, self._lock = max(1, together), threading.Lock()
        self._text, self._said = "", 0

    @property
    def count(self) -> int:
        """How often the message came in a row."""
        return -(-self._said // self._together)

    def worth_logging(self, text: str) -> bool:
        """Counts the message."""
        with self._lock:
            self._said = self._said + 1 if text == self._text else 1
            self._text = text
            first_of_its_round = (self._said - 1) % self._together == 0
            return first_of_its_round and self.count & (self.count - 1) == 0

    def reset(self) -> None:
        """It is over: the same message would be news."""
        with self._lock:
            self._text, self._said = "", 0

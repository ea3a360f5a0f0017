"""Whether and when a call is tried again. Pure but for the dice.

`Retry-After` (RFC 9110, 10.2.3: seconds or a date) is followed to the letter; without it,
exponential backoff with full jitter
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from bestiary_client._errors import ConfigurationError

RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
DEFAULT_MAX_RETRIES = 2
BACKOFF_BASE_S = 0.5
BACKOFF_MAX_S = 8.0
RETRY_AFTER_MAX_S = 60.0  # whoever is told to wait longer should decide for themselves


class RetryPolicy:
    """`max_retries` counts the attempts after the first one."""

    def __init__(
        self, max_retries: int, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        if max_retries < 0:
            raise ConfigurationError(f"max_retries must not be negative, not {max_retries}")
        self._max_retries = max_retries
        self._uniform = uniform

    def delay_s(self, attempt: int, retry_after_s: float | None, left_s: float) -> float | None:
        """Seconds to wait after `attempt` (0 is the first) failed; None: give up.

        `left_s` is what remains of the call's total timeout.
        """
        if attempt >= self._max_retries:
            return None
        if retry_after_s is not None:
            delay = retry_after_s
            if delay > RETRY_AFTER_MAX_S:
                return None
        else:
            delay = self._uniform(0, min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2.0**attempt))
        return delay if delay < left_s else None


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from now, 0 for a date that has passed; None for none or nonsense."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000": UTC without saying where
        date = date.replace(tzinfo=timezone.utc)
    wait = date - (now or datetime.now(timezone.utc))
    return max(0.0, wait.total_seconds())

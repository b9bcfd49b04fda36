"""How a training goes, for people: loss, tokens a second, MFU, waiting for input, time left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pipelines.progress import Display, format_count

if TYPE_CHECKING:
    from trainer.peak import Peak  # imports JAX


class TrainingConsole:
    """Shows a training's reports; the rate is that since the first report, which compilation comes before.

    Attributes:
        tokens_per_second: padding counted; None until two reports were made.
    """

    def __init__(
        self, display: Display, label: str, tokens_a_step: int, flops_a_token: int, peak: Peak | None = None
    ) -> None:
        self._display, self._label, self._peak = display, label, peak
        self._tokens_a_step, self._flops_a_token = tokens_a_step, flops_a_token
        self._begun, self._done = (0.0, 0), 0  # time and updates at the report that the rate is counted from
        self._before: dict[str, Any] | None = None
        self.tokens_per_second: float | None = None

    def __call__(self, done: int, steps: int, record: dict[str, Any]) -> None:
        """Show a report (`trainer.session.OnStep`)."""
        from trainer.metrics import input_share

        now, tokens = time.monotonic(), done * self._tokens_a_step
        if self._before is None or done <= self._done:  # the first report, or the run went back
            self._begun = now, done
            self._display.start(self._label, steps * self._tokens_a_step, "tokens", tokens)
        else:
            self.tokens_per_second = (done - self._begun[1]) * self._tokens_a_step / (now - self._begun[0])
        waited = 0.0 if self._before is None else input_share([self._before, record])
        self._before, self._done = record, done
        loss = "not finite" if record["loss"] is None else f"{record['loss']:.3f}"
        used = "" if self.mfu is None else f"MFU {100 * self.mfu:.1f} %, "
        self._display.move(tokens, f"step {done} of {steps}, loss {loss}, {used}waiting for input {100 * waited:.1f} %")

    @property
    def mfu(self) -> float | None:
        """Model FLOPs utilization: the FLOPs of the updates, nothing computed again, as a share of the peak."""
        if self.tokens_per_second is None or self._peak is None:
            return None
        return self.tokens_per_second * self._flops_a_token / self._peak.flops

    def summary(self) -> str:
        """Say in a line how fast it was."""
        if self.tokens_per_second is None:
            return f"{self._label}: too short to tell its speed"
        of = "" if self._peak is None else f" ({self._peak.flops / 1e12:.3g} TFLOP/s, {self._peak.source})"
        used = "no peak is known, so no MFU; give one with --peak" if self.mfu is None else f"MFU {self.mfu:.3f}{of}"
        return f"{self._label}: {format_count(self.tokens_per_second, 'tokens')}/s, {used}"

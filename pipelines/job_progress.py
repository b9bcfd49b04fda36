"""What the workers of a Beam job have done so far, told to whoever watches the job.

Where they run on this machine the driver reads it from files (pipelines/progress.py), at once and without Beam. Every
engine also has it as the Beam counter `glam / done`: Flink's REST interface shows that of a running job
(pipelines/flink_job.py).
"""

from __future__ import annotations

from apache_beam.metrics import Metrics

from pipelines import progress

NAMESPACE, NAME = "glam", "done"

_done = Metrics.counter(NAMESPACE, NAME)


def report(units: int) -> None:
    """Count `units` of work (of a job's own unit, see `Engine.run`) done by this worker."""
    progress.report(units)
    _done.inc(units)

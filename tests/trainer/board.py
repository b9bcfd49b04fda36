"""Reads what a run shows on a TensorBoard, event by event, checking the files' CRCs."""

from __future__ import annotations

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event

from pipelines.store.tfrecord import frame


def board_events(run_dir: str) -> list[Event]:
    """Return the events of the only file in RUN/tensorboard."""
    (file,) = Path(run_dir, "tensorboard").iterdir()
    data, position, events = file.read_bytes(), 0, []
    while position < len(data):
        (length,) = struct.unpack_from("<Q", data, position)
        payload = data[position + 12 : position + 12 + length]
        assert data[position : position + 16 + length] == frame(payload)
        events.append(Event.FromString(payload))
        position += 16 + length
    return events


def board_values(event: Event) -> dict[str, float]:
    """Return the scalars of an event by tag."""
    return {value.tag: value.simple_value for value in event.summary.value if value.HasField("simple_value")}

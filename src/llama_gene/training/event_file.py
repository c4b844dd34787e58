"""The log of a training as a file that TensorBoard reads.

This module imports transformers and tensorboardX; import it where it is used.
"""

import time
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar
from transformers import TrainerCallback
from transformers.integrations import rewrite_logs


class EventFile(TrainerCallback):  # type: ignore[misc]
    """Writes what is logged, at once: the callback of ``transformers`` loses what waits in its queue when it is killed.

    Args:
        folder: For the file; other event files in it stay, if the training resumes, or else are removed.
        step: Where the training resumes; TensorBoard leaves out what older files have after it. 0: it begins.
    """

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.*") if step == 0 else ():
            old.unlink()
        self._writer = EventsWriter(str(folder / "events"), filename_suffix=f".{step}")
        if step:
            self._writer.write_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Write the numbers under the names that the trackers of ``transformers`` give them."""
        for name, value in rewrite_logs(logs).items():
            event = Event(wall_time=time.time(), step=state.global_step, summary=scalar(name, value))
            self._writer.write_event(event)
        self._writer.flush()

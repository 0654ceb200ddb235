"""tensorboardX, imported without PyTorch.

Where PyTorch is installed tensorboardX imports it, for arguments that jaxgan never passes, and that
takes longer than importing everything else.
"""

import sys

_missing = "torch" not in sys.modules
if _missing:
    sys.modules["torch"] = None  # type: ignore[assignment]  # what Python takes as not installed
try:
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary
finally:
    if _missing:
        del sys.modules["torch"]

__all__ = ["Event", "EventsWriter", "SessionLog", "Summary", "summary"]

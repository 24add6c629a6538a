"""`python -m scripts.launching.companion MODULE ...`: a module's command, asked to end when standard input ends.

So it ends when whoever started it is gone, even by kill -9.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def end_with_standard_input() -> None:
    """Wait for the end of standard input, then ask this process to stop."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)

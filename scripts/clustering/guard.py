"""Runs a command and stops it when standard input ends: when whoever started it is gone, even by kill -9.

`python -m scripts.clustering.guard UID GID COMMAND...`; `-` for both keeps the user. Ends with the command's exit code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(arguments: list[str]) -> int:
    user, group, *command = arguments
    drop = {} if user == "-" else {"user": int(user), "group": int(group), "extra_groups": []}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, **drop) as child:  # type: ignore[call-overload]
        threading.Thread(target=_stop_with_standard_input, args=(child,), daemon=True).start()
        return int(child.wait())


def _stop_with_standard_input(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    child.send_signal(signal.SIGQUIT)  # nobody is left who waits for a clean end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

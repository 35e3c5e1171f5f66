"""A launcher that stops with its parent: `python -m experiments.sweeps.trial PARENT run ...` is `python -m experiments run ...`.

When whoever started it dies, by SIGKILL even, it gets SIGTERM, which saves: no trial of a sweep trains on unobserved.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from experiments.__main__ import main

__all__: list[str] = []

POLL_SECONDS = 1.0


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_follow, args=(int(sys.argv[1]),), daemon=True).start()
    sys.exit(main(sys.argv[2:]))

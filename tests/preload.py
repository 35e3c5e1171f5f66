"""What the server of tests/processes.py imports, once; importing starts no thread, which a fork would lose."""

import importlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

for name in ("tensorflow", "keras", "ale_py", "gymnasium", "scipy.ndimage", "scipy.signal", "sklearn.metrics", "tyro"):
    importlib.import_module(name)

"""Timings of the project's heavy parts, on one thread. Run `python -m benchmarks`, or `make bench`."""

import os

# Before numpy is imported: its libraries read these once.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

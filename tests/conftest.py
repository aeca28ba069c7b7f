"""One thread in the tests: sums of several differ in their last digits, and two files may run at once."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

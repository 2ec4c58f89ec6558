"""What holds for every test."""

import os
import signal

# Tensors and matrices of tests are small: a second thread waits more than it works, on a busy machine much more, and the wait
# costs as much processor time as work does: tests of files took up to twice as much.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests that interrupt them would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

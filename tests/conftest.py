"""What holds for every test."""

import os
import signal

# Tensors of tests are small: a second thread of OpenMP waits more than it works, on a busy machine much more.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests that interrupt them would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

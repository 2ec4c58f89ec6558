"""What holds for every test."""

import signal

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests that interrupt them would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

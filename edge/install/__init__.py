"""The board's own side of flashing: verify a bundle, install it in slot A or B, test it, switch, fall back.

Runs on the system's Python (3.10 or newer) before anything is installed, so only the standard library is
imported here, except by `selftest`, which runs in the slot's own environment.
"""

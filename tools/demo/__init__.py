"""The demo: `python -m swathpack.tools.demo`."""

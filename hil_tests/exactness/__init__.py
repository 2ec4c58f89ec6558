"""The exactness matrix: `python -m swathpack.hil_tests.exactness`."""

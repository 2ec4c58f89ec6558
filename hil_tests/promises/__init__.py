"""What the runtime promises, shown by long runs.

    python -m swathpack.hil_tests.promises budgets|loss|kill|disk|fuzz|soak|erasure|rate|hostile|powercut|forgery|splices
        [--size N] [--codec fake|edge]

Each prints a table and returns non-zero when a promise is broken; the tests run small versions.
"""

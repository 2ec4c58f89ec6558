"""Campaigns: long runs that show what the runtime promises.

    python -m tests.edge.campaign budgets|loss|kill|disk|fuzz|soak|erasure|rate|hostile|powercut|forgery|splices
        [--size N] [--codec fake|edge]

Each prints a table and returns non-zero when a promise is broken; `test_campaigns.py` runs small versions.
"""

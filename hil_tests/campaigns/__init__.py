"""Campaigns: runs of the flight software under faults, and the judgement of them."""

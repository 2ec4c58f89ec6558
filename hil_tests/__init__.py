"""Campaigns against simulated and real boards, promises of the runtime, and the exactness matrix."""

"""Passes, budgets and image quality of a mission, before it flies: `swathpack plan`."""

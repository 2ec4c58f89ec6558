"""The queue on disk, what of it goes down in a pass, and what reception reports make of it."""

"""The ground: the `swathpack` command and what its commands are made of."""

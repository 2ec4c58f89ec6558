"""The flight bundle: what a board needs to fly, in one signed file. `swathpack bundle` is its command."""

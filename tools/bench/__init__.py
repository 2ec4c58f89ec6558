"""The bench: codecs side by side on the same cubes, rates and metrics."""

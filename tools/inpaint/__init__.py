"""Cloudy pixels of a series replaced by what the codec's model and the other dates say about them."""

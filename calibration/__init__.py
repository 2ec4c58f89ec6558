"""Statistics of bands, ranges and integers of the int8 analysis."""

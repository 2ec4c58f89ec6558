"""The int8 analysis calibrated on images of your own, and judged: `swathpack calibrate`."""

"""The commands of `swathpack`, one module each."""

"""The stages of the loop. Each has `step`, which does a little and says whether it did anything."""

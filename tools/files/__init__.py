"""Series of frames in files: rasters, and the `.swp` stream."""

"""The world around the board: sensor, scenes, orbit, link, power and heat, ground, disk, memory."""

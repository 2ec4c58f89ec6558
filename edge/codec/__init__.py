"""The codec on board and on the ground: transform, latents, base layer, prediction, tables, network, range coder."""

"""The ground's side of the link: packets in, latents and reception reports out, and a mirror of the board's
context.
"""

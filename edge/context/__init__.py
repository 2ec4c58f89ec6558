"""Context: the latents of every tile that the ground has confirmed, kept on disk through any loss of power."""

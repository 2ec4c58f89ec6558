"""From trained weights to what flies: integer networks, graphs, proofs and bundles."""

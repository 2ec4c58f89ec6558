"""What the radio carries: CCSDS Space Packets, the pieces of segments in them, parity, reception reports."""

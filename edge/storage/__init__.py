"""Files that outlive a power cut: whole or not at all, and blocks that are synced."""

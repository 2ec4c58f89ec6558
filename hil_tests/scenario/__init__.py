"""What a campaign simulates: scenario files, the catalogue of faults, and when each happens."""

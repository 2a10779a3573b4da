"""Rules that the notebooks give, played over loads, faults and lengths: where each holds."""

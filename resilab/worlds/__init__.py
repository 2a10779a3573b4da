"""Worlds: each a scenario and a result, played by the one run of `lab`."""

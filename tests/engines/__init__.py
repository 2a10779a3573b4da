"""Real libraries beside the lab: the same script of calls through both. `pip install -e ".[engines]"` brings them."""

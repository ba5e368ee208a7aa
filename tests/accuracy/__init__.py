"""How far lucid's losses, and those of its peers, are from the exact ones; see `__main__`."""

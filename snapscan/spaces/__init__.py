"""Containers to bytes: every snapshot becomes a Space. Which kinds there are, and in which order they are tried: `registry.py`."""

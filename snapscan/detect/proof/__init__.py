"""Proof that a file is what its package shipped: then a match in it is the vendor's, not a secret of this machine."""

"""Proofs of the control plane."""

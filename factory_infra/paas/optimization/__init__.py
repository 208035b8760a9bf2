"""Optimization: who used what, what was paid for in vain, what will be needed, and how it is bought best."""

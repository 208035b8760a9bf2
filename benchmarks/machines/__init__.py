"""Measurements of real machines: pools, leases, jobs and the walls around them."""

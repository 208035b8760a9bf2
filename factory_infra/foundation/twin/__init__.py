"""The simulated data centre: its clock, machines, failures, markets and slow starts, all from a seed."""

"""The digital twin: a fleet, its work and its scheduler in virtual time. Every number that comes from here is simulated."""

"""Measures the gateway against an upstream that knows what it truly produced."""

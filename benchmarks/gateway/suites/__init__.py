"""Suites that other people's clients run against a gateway; each reads GATEWAY_URL and GATEWAY_KEY."""

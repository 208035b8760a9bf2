"""Runs Chroma's server from its binding alone: the Python library around it would cost seconds and 80 MB that nobody uses."""

import sys

import chromadb_rust_bindings  # type: ignore[import-untyped]

if __name__ == "__main__":
    chromadb_rust_bindings.cli(["chroma", *sys.argv[1:]])

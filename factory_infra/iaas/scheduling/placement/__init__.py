"""On which node, and on which of its GPUs: classical policies, fragmentation gradient descent, and our default."""

"""A small Kubernetes for tests: the parts of its API that Lineshaft uses, and jobs that really run, as processes of this machine."""

"""The points of the agents that may touch machines, each measured by what a user could run."""

"""The points of the first line, each measured by what a user could run."""

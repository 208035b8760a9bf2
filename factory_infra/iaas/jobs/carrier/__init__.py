"""The program that runs inside the container of a job on AWS: brings its files, runs it, and takes everything out again."""

"""What is in `deploy/`: each manifest by the tools that know its format, and all of them as they run."""

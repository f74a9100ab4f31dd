"""What it takes to run a program beside MPI: its command line, the child itself, its output, its checkpoint folders."""

"""What is said between ranks: messages, and which rank is in which group. Plain data; no MPI."""

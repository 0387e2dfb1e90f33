"""What the benchmark scripts share: the workload, the clients, and the report."""

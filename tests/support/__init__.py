"""What the tests with real parts share: a Triton server, a recording proxy, and temporary dbt projects."""

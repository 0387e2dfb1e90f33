"""`dbt-triton init --model`: what a server serves, written down as models of a dbt project."""

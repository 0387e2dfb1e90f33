{{ dbt_triton.create_model() }}

-- Readings whose mean so far is not that of the sensor's own readings in the order of time.
with expected as (

    select
        *,
        avg(cast(temperature as double)) over so_far as expected_mean,
        count(*) over so_far as expected_count
    from {{ ref('smoothed_temperatures') }}
    window so_far as (partition by sensor order by read_at)

)

select * from expected
where abs(mean_so_far - expected_mean) > 1e-9 or readings_so_far <> expected_count

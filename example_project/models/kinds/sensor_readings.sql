-- Twenty sensors, sixty readings each, in no order.
select
    'sensor ' || sensor as sensor,
    timestamp '2026-01-01' + reading * interval 10 minute as read_at,
    cast(20 + 5 * sin(reading / 9.0 + sensor) as decimal(6, 3)) as temperature
from range(20) as sensors(sensor), range(60) as readings(reading)
order by hash(sensor * 60 + reading)

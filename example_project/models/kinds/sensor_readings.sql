-- Twenty sensors, sixty readings each, in no order.
select
    'sensor ' || number as sensor,
    timestamp '2026-01-01' + reading * interval 10 minute as read_at,
    cast(20 + 5 * sin(cast(reading as double) / 9 + number) as decimal(6, 3)) as temperature
from range(20) as sensors(number), range(60) as readings(reading)
order by (number * 60 + reading) * 7919 % 1200

select
    regexp_extract(filename, '[^/]+$', 0) as file_name,
    cast(regexp_extract(filename, '_([0-9])[.]png$', 1) as tinyint) as actual_digit,
    content as image
from {{ files(env_var('DBT_TRITON_DEMO_IMAGES', 'images') ~ '/*.png') }}

select
    regexp_extract(filename, '[^/]+$', 0) as file_name,
    regexp_extract(filename, 'dial_([a-z0-9]+)[.][a-z0-9]+$', 1) as actual_key,
    content as sound
from {{ files(env_var('DBT_TRITON_DEMO_SOUNDS', 'sounds') ~ '/*') }}

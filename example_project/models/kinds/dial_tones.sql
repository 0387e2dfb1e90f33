select
    parse_filename(filename) as file_name,
    regexp_extract(filename, 'dial_(\w+)\.\w+$', 1) as actual_key,
    content as sound
from read_blob('{{ env_var("DBT_TRITON_DEMO_SOUNDS", "sounds") }}/*')

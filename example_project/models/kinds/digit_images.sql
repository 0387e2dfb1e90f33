select
    parse_filename(filename) as file_name,
    cast(regexp_extract(filename, '_(\d)\.png$', 1) as utinyint) as actual_digit,
    content as image
from read_blob('{{ env_var("DBT_TRITON_DEMO_IMAGES", "images") }}/*.png')

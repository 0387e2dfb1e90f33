with reviews as (

    select * from {{ ref('embedded_reviews') }} where known_terms > 0

)

select
    reviews.id,
    reviews.user_review,
    nearest.id as nearest_id,
    nearest.user_review as nearest_review,
    array_cosine_similarity(reviews.embedding, nearest.embedding) as similarity
from reviews
inner join reviews as nearest on reviews.id <> nearest.id
where reviews.id % 2000 = 0
qualify row_number() over (partition by reviews.id order by similarity desc, nearest.id) = 1

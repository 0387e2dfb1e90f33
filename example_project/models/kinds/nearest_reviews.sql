with reviews as (

    select * from {{ ref('embedded_reviews') }} where known_terms > 0

),

pairs as (

    select
        reviews.id,
        reviews.user_review,
        nearest.id as nearest_id,
        nearest.user_review as nearest_review,
        {{ cosine_similarity('reviews.embedding', 'nearest.embedding') }} as similarity
    from reviews
    inner join reviews as nearest on reviews.id <> nearest.id
    where reviews.id % 2000 = 0

),

ranked as (

    select *, row_number() over (partition by id order by similarity desc, nearest_id) as nearness from pairs

)

select id, user_review, nearest_id, nearest_review, similarity
from ranked
where nearness = 1

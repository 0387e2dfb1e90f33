with pairs as (

    select
        reviews.id,
        reviews.user_review,
        others.id as similar_id,
        others.user_review as similar_review,
        {{ cosine_similarity('reviews.embedding', 'others.embedding') }} as similarity
    from {{ ref('reviews_by_meaning') }} as reviews
    inner join {{ ref('reviews_by_meaning') }} as others on reviews.id <> others.id
    where reviews.id % 200 = 0

),

ranked as (

    select
        *,
        -- One warehouse counts rows in 64 bits, the other one in 32.
        cast(row_number() over (partition by id order by similarity desc, similar_id) as bigint) as nearness
    from pairs

)

select id, nearness, user_review, similar_id, similar_review, similarity
from ranked
where nearness <= 3

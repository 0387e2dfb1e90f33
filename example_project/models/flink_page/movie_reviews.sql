{{ config(materialized='view') }}

select *
from (
    values
      (1, '好电影', '这部电影绝对精彩！演技和故事情节都很棒。', 'positive'),
      (2, '无聊的电影', '我看到一半就睡着了。非常失望。', 'negative'),
      (3, '一般的电影', '还可以，没什么特别的，但也不算糟糕。', 'neutral')
) as movie_reviews(id, movie_name, user_review, actual_sentiment)

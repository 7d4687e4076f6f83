"""Pictures of the database as reviewers saw them, with their reviews.

- `image`: one picture with rings and caption
- `sheet`: many to look through, page after page
- `heatmap`: where reviewers click
- `extract`: the original bytes as files
- `thumbnails`: small pictures with rings, for pages
- `fetch`: images, their pictures and their reviews, brought together a few at a time
"""

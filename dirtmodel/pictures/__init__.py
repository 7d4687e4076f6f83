"""Pictures of the database as reviewers saw them, with their reviews.

- `image`: one picture with rings and caption
- `sheet`: contact sheets, pages of many small pictures
- `heatmap`: the density of clicks
- `extract`: the original bytes as files
- `thumbnails`: small pictures with rings, for HTML pages
- `fetch`: fetches images with their pictures and reviews, a few at a time
"""

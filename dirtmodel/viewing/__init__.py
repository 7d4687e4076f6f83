"""Pictures of the database as reviewers saw them, with their reviews.

- `single`: one picture with rings and caption
- `sheets`: many to look through, page after page
- `heatmaps`: where reviewers click
- `extracting`: the original bytes as files
- `material`: images, their pictures and their reviews, brought together a few at a time
"""

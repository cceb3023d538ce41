"""A site of static pages: an overview of all matrices, and a page for each cell over the nights."""

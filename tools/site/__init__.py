"""What `mkdocs.yml` needs to build the site."""

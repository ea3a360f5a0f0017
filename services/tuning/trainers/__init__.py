"""What trains: one room for each family, one loop for all (`training.loop`)."""
